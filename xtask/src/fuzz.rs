//! The fuzzer: looks for input that breaks what must hold of it.

use std::process::Command;

use crate::{
    cargo, env,
    error::{Error, Result, say},
};

/// What to look at, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this target: `document`, `request`, `settings`, `crm_answer` or `stored`
    target: Option<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 60)]
    secs: u32,
}

const TARGETS: [&str; 5] = ["document", "request", "settings", "crm_answer", "stored"];

/// Runs the fuzzer on each target. Needs a nightly compiler; `cargo-fuzz` is fetched if need be.
pub(crate) fn run(args: &Args) -> Result<()> {
    let found =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !found(Command::new("cargo").args(["+nightly", "--version"])) {
        let why = "the fuzzer needs a nightly compiler: rustup toolchain install nightly";
        return Err(Error::Other(why.to_owned()));
    }
    if !found(Command::new("cargo").args(["fuzz", "--version"])) {
        cargo::run(Command::new("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let root = env::root()?;
    let targets =
        TARGETS.iter().filter(|name| args.target.as_deref().is_none_or(|it| it == **name));
    for target in targets {
        say!("{target}, {} s", args.secs);
        // What is found is kept apart from the corpus, which is for people to choose.
        let found = env::target_dir()?.join("fuzz-corpus").join(target);
        std::fs::create_dir_all(&found).map_err(crate::error::at("making", &found))?;
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(root).args(["+nightly", "fuzz", "run", target]).arg(&found);
        fuzz.arg(root.join("tests/corpus").join(target)).arg("--");
        fuzz.arg(format!("-max_total_time={}", args.secs))
            .args(["-timeout=30", "-rss_limit_mb=4096"]);
        fuzz.env("PROTOC", cargo::protoc()?);
        cargo::run(&mut fuzz)?;
    }
    Ok(())
}
