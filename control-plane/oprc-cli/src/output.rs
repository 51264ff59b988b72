//! Printing things: tables for people, JSON and YAML for programs.

pub(crate) mod age;
pub(crate) mod columns;
pub(crate) mod table;
pub(crate) mod yaml;
