//! The benchmarks.

use crate::{
    cargo::{self, Profile},
    error::Result,
    etcd,
};

/// Which benchmarks to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only benchmarks whose names contain this
    filter: Option<String>,
}

/// Runs the benchmarks of the parts, then those of the whole system.
pub(crate) fn run(args: &Args) -> Result<()> {
    let etcd = etcd::ensure()?;
    let programs = cargo::build_programs(Profile::Fast)?;
    for (package, bench) in [("oprc-controller-runtime", "queue"), ("oprc-tests", "system")] {
        let mut command = cargo::command()?;
        command.args(["bench", "--profile", "fast", "--package", package, "--bench", bench]);
        command.env("OPRC_TEST_ETCD", &etcd).env("OPRC_TEST_BIN_DIR", &programs);
        if let Some(filter) = &args.filter {
            command.args(["--", filter]);
        }
        cargo::run(&mut command)?;
    }
    Ok(())
}
