//! The only reader of the environment.
//!
//! Every program's configuration is a section of typed settings ([`settings!`](parse)), parsed once
//! at start-up from a map of variables; afterwards the type is the proof.
//!
//! Invariants:
//! - nothing else in the workspace reads an environment variable (clippy's `disallowed_methods` and
//!   a tidy test see to it), and here only the private module `env` does;
//! - a mistake never becomes a default: all mistakes are reported together, each with what was
//!   expected, and none of them shows a secret;
//! - an unknown variable under a program's prefix is a mistake, so a misspelt name cannot pass;
//! - a [`Secret`] has no `Debug`, `Display` or `Serialize`, so it cannot reach a log by accident.

pub mod cli;
pub mod crm;
mod endpoint;
mod env;
pub mod log;
pub mod parse;
pub mod pm;
pub mod secret;
mod suggest;
pub mod table;
pub mod tls;
pub mod value;

pub use endpoint::Endpoint;
pub use parse::{Mistake, Mistakes, Variable};
pub use secret::{Credential, Secret};
