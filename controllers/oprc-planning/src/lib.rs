//! Every decision that the controllers make, as pure functions from data to data.
//!
//! Same inputs, same plan, on any replica: nothing here does IO, sleeps or reads a clock (`now` is
//! an argument), and Cargo enforces it, since this crate depends on `oprc-models` alone.
//!
//! Invariants:
//! - nothing is planned on [`unit::Observation::Unknown`];
//! - carrying a plan out and planning again yields the empty plan.

pub mod build;
pub mod deployment;
mod health;
pub mod package;
pub mod place;
pub mod resolve;
#[cfg(test)]
mod samples;
pub mod unit;
