//! The checks: tests, format, lints, licences.

use std::{path::PathBuf, process::Command};

use crate::{
    cargo::{self, Profile},
    env,
    error::{Result, say},
    etcd, extras, images, schemathesis,
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
    say!("etcd for the tests: {}", etcd::ensure()?.display());
    extras::fetch()?;
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    match browsers.iter().find_map(|name| env::find_program(name)) {
        Some(browser) => say!("browser for the tests: {}", browser.display()),
        None => {
            say!("no browser: the test with one is skipped; `apt-get install chromium` brings one")
        }
    }
    let protoc = cargo::protoc()?;
    say!("protoc: {}", protoc.display());
    if env::find_program("protoc").is_none() {
        say!("for a plain `cargo build`: export PROTOC={}", protoc.display());
    }
    Ok(())
}

/// Runs every test, and the checks of dependencies where `cargo-deny` is installed.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    let etcd = etcd::ensure()?;
    if args.package.is_empty() {
        deny()?;
        images::of_etcd(&etcd)?;
    }
    let programs =
        if args.package.is_empty() { build_all()? } else { cargo::build_programs(Profile::Dev)? };
    let mut test = cargo::command()?;
    test.arg("test").env("OPRC_TEST_ETCD", etcd).env("OPRC_TEST_BIN_DIR", programs);
    extras::give(&mut test)?;
    if args.package.is_empty() {
        test.arg("--workspace");
    }
    for package in &args.package {
        test.args(["--package", package]);
    }
    // All failures of one run are worth more than the first.
    test.arg("--no-fail-fast").args(&args.filter);
    let tested = cargo::run(&mut test);
    if args.package.is_empty() && args.filter.is_none() {
        return tested.and(schemathesis::run(&schemathesis::Args::short()));
    }
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
fn deny() -> Result<()> {
    if env::find_program("cargo-deny").is_none() {
        say!("skipped: cargo-deny is not installed, so licences and sources are not checked");
        return Ok(());
    }
    // It looks at the dependencies of every platform, and a build brings those of this one alone.
    cargo::run(cargo::command()?.args(["fetch", "--locked"]))?;
    let mut deny = Command::new("cargo-deny");
    let checks = ["--offline", "check", "bans", "licenses", "sources"];
    cargo::run(deny.current_dir(env::root()?).args(checks))
}
