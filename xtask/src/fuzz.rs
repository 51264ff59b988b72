//! The fuzzer: looks for input that breaks what must hold of it.
//!
//! It wants a compiler that instruments what it builds. A nightly one does; so does the stable one
//! when it is told to let unstable options pass, which is good enough for a program that is only
//! ever fed with nonsense.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
};

use crate::{
    cargo, env,
    error::{Error, Result, at, io, say},
};

/// What to look at, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this target: `document`, `request`, `settings`, `crm_answer` or `stored`
    target: Option<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 60)]
    secs: u32,
    /// All at once, each with a log of its own, instead of one after another
    #[arg(long)]
    together: bool,
}

const TARGETS: [&str; 5] = ["document", "request", "settings", "crm_answer", "stored"];

/// Which compiler instruments.
#[derive(Clone, Copy)]
enum Compiler {
    /// The nightly one, where it is installed.
    Nightly,
    /// The one that builds everything else, with unstable options let pass.
    Stable,
}

/// Runs the fuzzer on each target. `cargo-fuzz` is fetched if need be.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !is_there(Command::new("cargo").args(["fuzz", "--version"])) {
        cargo::run(Command::new("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let compiler = Compiler::find();
    pin()?;
    cargo::run(compiler.fuzz()?.args(["build"]))?;
    let targets =
        TARGETS.iter().filter(|name| args.target.as_deref().is_none_or(|it| it == **name));
    let mut started = Vec::new();
    for target in targets {
        let mut fuzz = command(compiler, target, args.secs)?;
        if !args.together {
            say!("{target}, {} s", args.secs);
            cargo::run(&mut fuzz)?;
            continue;
        }
        let log = env::target_dir()?.join(format!("fuzz-{target}.log"));
        say!("{target}, {} s: {}", args.secs, log.display());
        let file = File::create(&log).map_err(at("making", &log))?;
        let other = file.try_clone().map_err(at("opening", &log))?;
        let child = fuzz.stdout(file).stderr(other).spawn();
        started.push((cargo::describe(&fuzz), child.map_err(io("starting cargo fuzz"))?));
    }
    // All of them are waited for: one that found something is no reason to leave the others behind.
    let ends: Vec<Result<()>> = started.into_iter().map(|(text, child)| end(text, child)).collect();
    ends.into_iter().collect()
}

impl Compiler {
    fn find() -> Self {
        if is_there(Command::new("cargo").args(["+nightly", "--version"])) {
            say!("instrumented by the nightly compiler");
            return Self::Nightly;
        }
        say!("no nightly compiler: instrumented by the stable one, with RUSTC_BOOTSTRAP=1");
        Self::Stable
    }

    /// `cargo fuzz` with this compiler.
    fn fuzz(self) -> Result<Command> {
        let mut command = Command::new("cargo");
        match self {
            Self::Nightly => command.arg("+nightly"),
            Self::Stable => command.env("RUSTC_BOOTSTRAP", "1"),
        };
        command.arg("fuzz").current_dir(env::root()?);
        // Settings of a build of ours that would reach this one, in which everything is instrumented.
        command.env_remove("CARGO_TARGET_DIR").env("PROTOC", cargo::protoc()?);
        Ok(command)
    }
}

fn is_there(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// What is fuzzed is built of the very libraries that the programs are: the lock of the workspace is
/// that of the fuzzer's crate too, which adds to it only what is the fuzzer's own.
fn pin() -> Result<()> {
    let (from, to) = (env::root()?.join("Cargo.lock"), env::root()?.join("fuzz/Cargo.lock"));
    fs::copy(&from, &to).map(drop).map_err(at("copying", &from))
}

/// The fuzzer on `target` for `secs`.
fn command(compiler: Compiler, target: &str, secs: u32) -> Result<Command> {
    // What is found is kept apart from the corpus, which is for people to choose.
    let found: PathBuf = env::target_dir()?.join("fuzz-corpus").join(target);
    fs::create_dir_all(&found).map_err(at("making", &found))?;
    let mut fuzz = compiler.fuzz()?;
    fuzz.args(["run", target]).arg(&found);
    fuzz.arg(env::root()?.join("tests/corpus").join(target)).arg("--");
    fuzz.arg(format!("-max_total_time={secs}"));
    // An input takes longer than this only if it hangs, even on a machine that is busy.
    fuzz.args(["-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1"]);
    Ok(fuzz)
}

fn end(command: String, mut child: Child) -> Result<()> {
    let status = child.wait().map_err(io("waiting for cargo fuzz"))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command, status }) }
}
