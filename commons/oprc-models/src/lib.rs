//! The documents that people write and the ones that the system keeps: types, names, conditions,
//! parsing and validation.
//!
//! Field names are `snake_case` and enums `SCREAMING_SNAKE` on the wire, as in existing OaaS packages.
//! Nothing here does IO, reads a clock or knows of a store.

pub mod access;
pub mod bundle;
pub mod canonical;
pub mod cluster;
pub mod condition;
pub mod crm;
pub mod dependency;
pub mod deployment;
pub mod difference;
pub mod document;
pub mod event;
pub mod history;
pub mod installation;
pub mod meta;
pub mod names;
pub mod nulls;
pub mod package;
mod pointer;
pub mod problem;
pub mod push;
pub mod quantity;
pub mod record;
pub mod role;
pub mod schema;
pub mod secret;
pub mod selector;
pub mod status;
mod text;
pub mod unit;
pub mod validate;
pub mod version;
pub mod view;

/// Whether `value` is what it would be had nobody written it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
