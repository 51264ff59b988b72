//! What tests of this and other crates stand on. Not part of the product.

pub mod conformance;
mod etcd_process;

use std::{env, fs::OpenOptions, io::Write as _, thread};

pub use self::etcd_process::{EtcdConfig, EtcdProcess, PeerProxy, ServerTls};

/// Records that the running test skips itself, and why: on standard error, and in the file that
/// `OPRC_TEST_SKIPS` names, since the output of tests that pass is not shown.
#[expect(clippy::print_stderr, reason = "a test that skips itself says so")]
pub fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    let Some(path) = env::var_os("OPRC_TEST_SKIPS") else { return };
    // The test harness names threads after tests. A name is one of its binary only.
    let program = env::args().next().unwrap_or_default();
    let thread = thread::current();
    let line = format!("{program} {}\t{reason}\n", thread.name().unwrap_or("?"));
    // Other tests append at the same time: one write of a short line is not torn.
    let file = OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
