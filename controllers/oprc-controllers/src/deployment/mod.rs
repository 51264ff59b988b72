//! The deployment controller: spec, package, clusters and records to units and status.

mod news;
mod reconcile;

mod triggers;

pub(crate) use self::{
    reconcile::{Awaiting, reconcile},
    triggers::keys,
};
