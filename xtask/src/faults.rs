//! The real thing, broken: each scenario with minutes of load, and a table of what it took.

use std::{fs, path::Path};

use crate::{
    cargo, checks, env,
    error::{Error, Result, at, say},
    etcd, extras, images,
};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Minutes of load in each scenario
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Only scenarios whose names contain this
    #[arg(default_value = "scenarios::")]
    scenario: String,
}

/// The columns of the table; the rows are the tests'.
const HEADER: &str = "\
| scenario | store | no change acknowledged for at most, s | converged after, s | operations | \
changes acknowledged | unknown |
|---|---|---|---|---|---|---|";

/// Runs the scenarios on each etcd that can be had, one after another, and prints the table, of
/// those that failed as well.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !(args.minutes.is_finite() && args.minutes * 60.0 >= 1.0) {
        return Err(Error::Other("--minutes: want a second at least".to_owned()));
    }
    let usual = etcd::ensure()?;
    extras::fetch()?;
    let programs = checks::build_all()?;
    let table = env::target_dir()?.join("faults.md");
    fs::write(&table, "").map_err(at("writing", &table))?;
    let run = |etcd: &Path, skipped: &[&str]| {
        images::of_etcd(etcd)?;
        let mut test = cargo::command()?;
        test.args(["test", "--workspace", "--test", "faults", "--"]);
        test.args(["--test-threads", "1", "--nocapture"]);
        test.arg(&args.scenario);
        test.args(skipped.iter().flat_map(|name| ["--skip", name]));
        test.env("OPRC_TEST_ETCD", etcd).env("OPRC_TEST_BIN_DIR", &programs);
        test.env("OPRC_TEST_FAULTS_TABLE", &table);
        test.env("OPRC_TEST_FAULTS_SECS", format!("{:.0}", args.minutes * 60.0));
        extras::give(&mut test)?;
        cargo::run(&mut test)
    };
    let mut result = run(&usual, &["newer_etcd"]);
    if let Some(newer) = extras::newer_etcd()? {
        result = result.and(run(&newer, &["newer_etcd", "embedded"]));
    }
    let rows = fs::read_to_string(&table).map_err(at("reading", &table))?;
    say!("\n{HEADER}\n{rows}");
    result
}
