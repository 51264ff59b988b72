//! Whole-system tests.

pub mod hostile;
pub mod simulation;
