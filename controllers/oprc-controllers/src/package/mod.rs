//! The package controller: whether what a package depends on is there, and its removal.

mod reconcile;
mod triggers;

pub(crate) use self::{reconcile::reconcile, triggers::keys};
