//! The checks: tests, format, lints, licences.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    cargo::{self, Profile},
    env,
    error::{self, Error, Result, at, io, say},
    etcd, extras, generated_client, images,
    process::Interrupt,
    schemathesis,
    summary::Summary,
};

/// Which tests to run.
#[derive(clap::Args, Default)]
pub(crate) struct TestArgs {
    /// Only tests whose names contain this
    #[arg(long)]
    filter: Option<String>,
    /// Only tests of this package; may be repeated
    #[arg(short, long)]
    package: Vec<String>,
}

/// Fetches what tests need and says what a plain `cargo build` needs.
pub(crate) fn setup() -> Result<()> {
    match etcd::ensure() {
        Ok(etcd) => say!("etcd for the tests: {}", etcd.display()),
        Err(err) => say!("tests that need etcd will be skipped: {err}"),
    }
    extras::fetch()?;
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    match browsers.iter().find_map(|name| env::find_program(name)) {
        Some(browser) => say!("browser for the tests: {}", browser.display()),
        None => {
            say!("no browser: the test with one is skipped; `apt-get install chromium` brings one")
        }
    }
    say!("protoc: {}", cargo::protoc()?.display());
    Ok(())
}

/// Runs every test and the checks beside them: what this machine lacks is skipped, and the last line
/// says how many passed, failed and were skipped.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    let mut summary = Summary::default();
    let is_everything = args.package.is_empty() && args.filter.is_none();
    let etcd = etcd::ensure();
    match &etcd {
        Ok(etcd) if args.package.is_empty() => images::of_etcd(etcd)?,
        Ok(_) => {}
        Err(err) => say!("tests that need etcd are skipped: {err}"),
    }
    if args.package.is_empty() {
        report(&mut summary, deny());
    }
    if let Err(err) = run_tests(args, etcd.ok(), &mut summary) {
        // Its failed tests are counted already, if there are any.
        summary.failed_somehow();
        say!("failed: {}", error::chain(&err));
    }
    if is_everything {
        let interrupt = Interrupt::install()?;
        let described = schemathesis::run(&schemathesis::Args::short(), &interrupt);
        report(&mut summary, described);
        report(&mut summary, generated_client::run(&interrupt));
    }
    say!("\n{summary}");
    if summary.has_failures() { Err(Error::Reported) } else { Ok(()) }
}

/// Runs one check that may be skipped.
pub(crate) fn asked(check: impl FnOnce(&Interrupt) -> Result<Option<String>>) -> Result<()> {
    if let Some(reason) = check(&Interrupt::install()?)? {
        say!("skipped: {reason}");
    }
    Ok(())
}

/// Counts the outcome of a check, and prints why it failed.
fn report(summary: &mut Summary, outcome: Result<Option<String>>) {
    summary.check(&outcome);
    if let Err(err) = outcome {
        say!("failed: {}", error::chain(&err));
    }
}

/// Runs the tests, and counts them.
fn run_tests(args: &TestArgs, etcd: Option<PathBuf>, summary: &mut Summary) -> Result<()> {
    let programs =
        if args.package.is_empty() { build_all()? } else { cargo::build_programs(Profile::Dev)? };
    let skips = tempfile::NamedTempFile::new().map_err(io("making a file for skipped tests"))?;
    let mut test = cargo::command()?;
    test.arg("test").env("OPRC_TEST_BIN_DIR", programs).env("OPRC_TEST_SKIPS", skips.path());
    test.envs(etcd.map(|etcd| ("OPRC_TEST_ETCD", etcd)));
    extras::give(&mut test)?;
    if args.package.is_empty() {
        test.arg("--workspace");
    }
    for package in &args.package {
        test.args(["--package", package]);
    }
    // All failures of one run are worth more than the first.
    test.arg("--no-fail-fast").args(&args.filter);
    let tested = cargo::run_reading(&mut test, |line| summary.read_line(line));
    let told = fs::read_to_string(skips.path()).map_err(at("reading", skips.path()))?;
    summary.read_skips(&told);
    tested
}

/// Builds the tests and, for those that start whole processes, the programs; returns the folder of
/// the latter.
///
/// With one command: asked for apart, tests and programs would be given libraries with different
/// features, and everything would be built twice.
pub(crate) fn build_all() -> Result<PathBuf> {
    cargo::run(cargo::command()?.args(["build", "--workspace", "--bins", "--tests"]))?;
    Ok(env::target_dir()?.join(Profile::Dev.folder()))
}

/// Checks the format and the lints.
pub(crate) fn lint() -> Result<()> {
    cargo::run(cargo::command()?.args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    cargo::run(cargo::command()?.args(clippy))
}

/// Licences, bans and sources of dependencies. Advisories need a database from the network, so they
/// are asked for by hand: `cargo deny check`.
fn deny() -> Result<Option<String>> {
    if env::find_program("cargo-deny").is_none() {
        let reason = "cargo-deny is not installed: licences and sources are not checked";
        return Ok(Some(reason.to_owned()));
    }
    // It looks at the dependencies of every platform, and a build brings those of this one alone.
    cargo::run(cargo::command()?.args(["fetch", "--locked"]))?;
    let mut deny = Command::new("cargo-deny");
    let checks = ["--offline", "check", "bans", "licenses", "sources"];
    cargo::run(deny.current_dir(env::root()?).args(checks))?;
    Ok(None)
}
