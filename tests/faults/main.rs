//! The real thing, broken: etcd, Package Managers and CRMs as processes, clients at work all the
//! while, and one fault at a time.
//!
//! In the end, of every scenario:
//! - what clients were told of each document can be explained by one order of their operations,
//!   final reads included: nothing acknowledged is lost, no read is stale;
//! - each CRM holds exactly the units that are desired, each once, running, at its generation; the
//!   store holds nothing else; the statuses say so; and nothing moves any more.
//!
//! A test is short; `cargo xtask faults` runs each scenario with a minute of load, on each etcd that
//! is there, and prints how long it took to recover.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]
#![expect(clippy::print_stderr, reason = "measured times")]

mod containers;
mod converged;
mod history;
mod linearizable;
mod load;
mod network;
mod ring;
mod scenarios;
mod stale;
mod strikes;
#[path = "../system/support/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the system tests use the rest")]
mod support;
