//! The reference Class Runtime Manager: the server of the contract in `docs/crm-contract.md`, over
//! a [`runtime::Runtime`] that does the work.
//!
//! It holds units, says truthfully what it holds, and lets its runtime bring each unit about. It
//! never calls a Package Manager, never plans and never places.
//!
//! Invariants:
//! - nothing is acknowledged before the store has it;
//! - the highest generation of an id and the highest term of an owner are remembered across
//!   restarts, and what is older is refused ([`decide`]);
//! - a record exists exactly while something is held for its id;
//! - one path for all work: a change in the store wakes the [`driver`]; a restart, a request and an
//!   answer that was lost all take it;
//! - a watch gives every change after its start once and in order, or ends ([`feed`]).

pub mod clock;
pub mod crm;
mod decide;
mod driver;
mod error;
mod feed;
mod http;
mod layout;
mod listing;
mod metric;
mod record;
pub mod runtime;
pub mod server;
mod timers;
mod tombstones;
mod unit;
pub mod work;

pub use error::Error;
pub use http::{App, router};
pub use metric::describe_metrics;
