//! The push controller: finishes pushes of several transactions that their pusher did not.

mod reconcile;
mod triggers;

pub(crate) use self::{
    reconcile::{Begun, reconcile},
    triggers::keys,
};
