//! `cargo xtask …`: everything that is done to the project, on a machine that has only Rust.
//!
//! It never depends on a crate of the workspace: it must build before their tools are there. (The
//! client of etcd needs `protoc`; this program brings one and hands it to the `cargo` it starts.)

mod bench;
mod cargo;
mod checks;
mod demo;
mod env;
mod error;
mod etcd;
mod extras;
mod faults;
mod fuzz;
mod generated_client;
mod http;
mod images;
mod mutations;
mod packages;
mod process;
mod python;
mod schemathesis;
mod simulate;
mod summary;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    cargo::Profile,
    error::{Result, say},
};

/// Sets up, checks, shows and measures oprc-pm.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch what tests need, and say what a plain `cargo build` needs
    Setup,
    /// Start a Package Manager and two CRMs, push the examples, and stay until Ctrl-C
    Demo(demo::Args),
    /// Build the three programs
    Build(BuildArgs),
    /// Run every test
    Test(checks::TestArgs),
    /// Check the format and the lints
    Lint,
    /// What CI runs: `lint`, then `test`
    Ci,
    /// Run the benchmarks
    Bench(bench::Args),
    /// Simulate the whole system under faults, seed after seed
    Simulate(simulate::Args),
    /// Break the real thing while it is under load, and measure how it recovers
    Faults(faults::Args),
    /// Look for input that breaks something
    Fuzz(fuzz::Args),
    /// Ask a server for everything that it describes, and whether it answers as it says
    Schemathesis(schemathesis::Args),
    /// Generate a client from a server's description, and use it
    GeneratedClient,
    /// Make container images of programs built here, for docker-compose.test.yml
    Images(BuildArgs),
}

/// How programs are built.
#[derive(Args)]
struct BuildArgs {
    /// Optimised, which takes several times as long
    #[arg(long)]
    release: bool,
}

impl BuildArgs {
    const fn profile(&self) -> Profile {
        if self.release { Profile::Release } else { Profile::Dev }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup => checks::setup(),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => checks::test(&args),
        Command::Lint => checks::lint(),
        Command::Ci => checks::lint().and_then(|()| checks::test(&checks::TestArgs::default())),
        Command::Bench(args) => bench::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Schemathesis(args) => {
            checks::asked(|interrupt| schemathesis::run(&args, interrupt))
        }
        Command::GeneratedClient => checks::asked(generated_client::run),
        Command::Images(args) => images::build(args.profile()),
        Command::Build(args) => build(args.profile()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error::Error::Reported) => ExitCode::FAILURE,
        Err(err) => {
            // A closed terminal is no error.
            let _ = writeln!(io::stderr(), "error: {}", error::chain(&err));
            ExitCode::FAILURE
        }
    }
}

fn build(profile: Profile) -> Result<()> {
    let folder = cargo::build_programs(profile)?;
    for program in cargo::PROGRAMS {
        say!("{}", folder.join(program).display());
    }
    Ok(())
}
