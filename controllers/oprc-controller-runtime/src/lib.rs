//! What every controller stands on: work queue, backoff, watch cache, controller loop, leading.
//!
//! Invariants:
//! - a key is in the hands of at most one worker, and no change of it is lost ([`queue`]);
//! - a failing key slows down and never stops, and holds up no other ([`controller`]);
//! - a term ends on our clock before its lease can end on the store's ([`leading`]);
//! - all work is joined: what is started here has ended when what started it returns.
//!
//! This crate knows nothing of clusters and calls none; and it decides nothing about a deployment.

pub mod backoff;
pub mod cache;
pub mod controller;
pub mod leading;
pub mod queue;
pub mod shared;

/// Describes this crate's metrics to the recorder that is installed.
pub fn describe_metrics() {
    cache::describe_metrics();
    controller::describe_metrics();
    leading::describe_metrics();
    shared::describe_metrics();
}
