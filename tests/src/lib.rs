//! Whole-system tests.

pub mod simulation;
