//! Simulations, and the proof that they can see.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cargo::{self, Profile},
    env,
    error::{Error, Result, at, say},
    mutations::{MUTATIONS, SWITCH},
};

/// Seeds that a mutation has to fail within.
const MAX_SEEDS: &str = "200";

/// What is copied to build mutations from: all that the simulation is made of.
const SOURCES: [&str; 8] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "commons",
    "control-plane",
    "controllers",
    "tests",
    "xtask",
];

/// Which simulations to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Prove that the simulation can see: with each of a list of bugs it must fail
    #[arg(long)]
    mutations: bool,
    /// With `--mutations`: only those whose names contain this; else: `--seeds N`, `--from S`,
    /// `--seed X --trace`, `--cuts` and more, as `cargo xtask simulate -- --help` lists
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the simulations that `args` ask for.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.mutations {
        return prove(args.rest.first().map_or("", String::as_str));
    }
    let program = build(env::root()?, &env::target_dir()?)?;
    cargo::run(Command::new(program).args(&args.rest))
}

/// Builds the simulation in `folder`, optimised, into `target`; answers the program.
fn build(folder: &Path, target: &Path) -> Result<PathBuf> {
    let mut build = cargo::command()?;
    build.current_dir(folder).env("CARGO_TARGET_DIR", target);
    build.args(["build", "--quiet", "--profile", Profile::Fast.name()]);
    build.args(["--package", "oprc-tests", "--bin", "simulate"]);
    cargo::run(&mut build)?;
    Ok(target.join(Profile::Fast.folder()).join("simulate"))
}

/// How a mutation fared.
enum Fate {
    /// It failed: at this seed, in these words.
    Killed(String, String),
    /// It lived through all seeds.
    Survived,
}

/// Runs the simulation of a copy of the sources that has every mutation, without any of them
/// turned on, and then with each.
fn prove(filter: &str) -> Result<()> {
    let (root, target) = (env::root()?, env::target_dir()?.join("mutants"));
    let copy = target.join("sources");
    for source in SOURCES {
        mirror(&root.join(source), &copy.join(source))?;
    }
    for (file, text) in mutated(root)? {
        write_new(&copy.join(file), text.as_bytes())?;
    }
    let program = build(&copy, &target)?;
    if let Fate::Killed(seed, violation) = hunt(&program, "")? {
        let what = format!("seed {seed} fails without any mutation: {violation}");
        return Err(Error::Other(what));
    }
    let mut survivors = Vec::new();
    say!("| mutation | fails at seed | violation |\n|---|---|---|");
    for mutation in MUTATIONS.iter().filter(|mutation| mutation.name.contains(filter)) {
        match hunt(&program, mutation.name)? {
            Fate::Killed(seed, violation) => {
                say!("| {} | {seed} | {violation} |", mutation.name);
            }
            Fate::Survived => {
                say!("| {} | none of {MAX_SEEDS} | **not seen** |", mutation.name);
                survivors.push(mutation.name);
            }
        }
    }
    if survivors.is_empty() {
        return Ok(());
    }
    Err(Error::Other(format!("the simulation does not see: {}", survivors.join("; "))))
}

/// The files with mutations, with all of theirs.
fn mutated(root: &Path) -> Result<BTreeMap<&'static str, String>> {
    let mut files = BTreeMap::new();
    for mutation in MUTATIONS {
        let file = root.join(mutation.file);
        let text = match files.remove(mutation.file) {
            Some(text) => text,
            None => fs::read_to_string(&file).map_err(at("reading", &file))?,
        };
        files.insert(mutation.file, mutation.apply(&text)?);
    }
    Ok(files)
}

/// Runs `program` with `bug` turned on, seed after seed, until one fails.
fn hunt(program: &Path, bug: &str) -> Result<Fate> {
    let mut simulate = Command::new(program);
    simulate.env(SWITCH, bug);
    simulate.args(["--seeds", MAX_SEEDS, "--no-shrink", "--quiet-mins", "10"]);
    let output = simulate.output().map_err(at("starting", program))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failed =
        text.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(" violates: "));
    match failed {
        Some((seed, violation)) => Ok(Fate::Killed(seed.to_owned(), shorten(violation))),
        None if output.status.success() => Ok(Fate::Survived),
        None => Err(Error::Failed { command: cargo::describe(&simulate), status: output.status }),
    }
}

/// So much of a violation as fits a table.
fn shorten(violation: &str) -> String {
    const MAX: usize = 160;
    let text = violation.replace('|', "/");
    if text.chars().count() <= MAX {
        return text;
    }
    text.chars().take(MAX).chain(['…']).collect()
}

/// Makes `to` what `from` is, but for files that have mutations. What is the same already is not
/// written: cargo goes by the time of the last write.
fn mirror(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        let is_mutated = MUTATIONS.iter().any(|mutation| from.ends_with(mutation.file));
        let text = fs::read(from).map_err(at("reading", from))?;
        return if is_mutated { Ok(()) } else { write_new(to, &text) };
    }
    fs::create_dir_all(to).map_err(at("making", to))?;
    for held in entries(to)? {
        if !from.join(&held).exists() {
            let gone = to.join(held);
            let removed =
                if gone.is_dir() { fs::remove_dir_all(&gone) } else { fs::remove_file(&gone) };
            removed.map_err(at("removing", &gone))?;
        }
    }
    entries(from)?.iter().try_for_each(|name| mirror(&from.join(name), &to.join(name)))
}

/// The names in a folder.
fn entries(folder: &Path) -> Result<Vec<std::ffi::OsString>> {
    let names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>());
    names.map_err(at("listing", folder))
}

/// Writes `text`, unless the file has it.
fn write_new(file: &Path, text: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|held| held == text) {
        return Ok(());
    }
    fs::write(file, text).map_err(at("writing", file))
}
