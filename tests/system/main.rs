//! The whole system: real programs, real etcd, real sockets, and what goes wrong with them.
//!
//! Each test has its own Package Manager (a process), its own clusters (CRMs behind a proxy that
//! records and breaks) and its own folder, so that all can run at once. A test waits for states with
//! a bound, and shows the logs of its processes when it fails.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]
#![expect(clippy::print_stderr, reason = "logs of processes and measured times")]

mod support;

mod auth;
mod browser;
mod clusters;
mod configuration;
mod connections;
mod crashes;
mod credentials;
mod door;
mod events;
mod examples;
mod history;
mod hostile;
mod lifecycle;
mod observability;
mod outage;
mod overload;
mod production;
mod pushes;
mod replicas;
mod restore;
mod stopping;
mod store;
mod versions;
mod watching;
