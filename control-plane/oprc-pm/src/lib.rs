//! The Package Manager as a process: wiring, and no decisions.
//!
//! [`Server::start`] opens the store, fills the cache, serves the API, stands for election and runs
//! the controllers for as long as it leads.
//!
//! Shutting down, in this order: the controllers end and the lease is given back, so that the
//! successor starts at once; no new connections are taken and requests under way are answered; the
//! cache and the store are let go.

mod crms;
mod door;
mod keys;
mod recover;
mod register;
mod server;
mod storage;

/// Describes this crate's metrics to the recorder in place.
pub fn describe_metrics() {
    keys::describe_metrics();
}

pub use self::{
    keys::KeyError,
    recover::{RecoverError, RecoverOptions, Recovered, recover},
    server::{Options, RenderMetrics, Running, StartError, start},
    storage::OpenError,
};
