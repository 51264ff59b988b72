//! The commands. Each has a `run` that reads, asks the server, and tells; `Ok` is exit code 0.

pub(crate) mod apply;
pub(crate) mod auth;
mod bindings;
mod changes;
mod compare;
pub(crate) mod context;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod events;
mod follow;
pub(crate) mod get;
pub(crate) mod package;
mod poll;
mod progress;
mod push;
pub(crate) mod rollout;
pub(crate) mod schema;
pub(crate) mod wait;
