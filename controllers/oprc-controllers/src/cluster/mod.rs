//! The cluster controller: one agent per registered cluster.
//!
//! An agent keeps a mirror of what its CRM holds ([`observe`], [`listing`]), brings about the cluster's units
//! ([`units`]), writes down what it observed ([`records`]) and how the cluster is ([`status`]).
//! [`fleet`] starts and stops agents as clusters come and go.
//!
//! Invariant: an agent shares nothing with another but the store: one cluster's trouble is that
//! cluster's alone.

mod agent;
mod fleet;
mod listing;
mod mirror;
mod observe;
mod reach;
mod records;
mod status;

mod triggers;
mod units;

pub(crate) use self::fleet::{Fleet, describe_metrics};
pub use self::{agent::Settings, fleet::Connect, listing::Budget};
