//! What lints cannot say: the shape of the workspace, read from its files.
//!
//! Nothing is built or run here; every test reads files and lists all violations.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]

mod decisions;
mod edges;
mod files;
mod logs;
mod metrics;
mod reliability;
mod settings;
mod sources;

/// Fails with every violation, not with the first.
#[track_caller]
fn assert_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}
