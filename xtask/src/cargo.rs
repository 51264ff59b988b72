//! `cargo`, started with what the build needs.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    env,
    error::{Error, Result, io, say},
};

/// The programs, as files.
pub(crate) const PROGRAMS: [&str; 3] = ["oprc-pm", "oprc-crm", "oprc"];

/// Finds a `protoc` for a plain `cargo build`.
const SCRIPT: &str = ".cargo/protoc";

/// How binaries that people or tests run are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests: the same artifacts as `cargo test`.
    Dev,
    /// For what is measured, at a fraction of the release build's time.
    Fast,
    /// For images.
    Release,
}

impl Profile {
    /// What cargo calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Fast => "fast",
            Self::Release => "release",
        }
    }

    /// The folder below the target folder.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Fast => "fast",
            Self::Release => "release",
        }
    }
}

/// `cargo` in the workspace, with a `protoc` where the machine has none.
pub(crate) fn command() -> Result<Command> {
    let cargo = env::get("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env::root()?);
    // A plain build finds one by a script, which is not needed here.
    let named = env::get("PROTOC").filter(|named| !Path::new(named).ends_with(SCRIPT));
    if named.is_none() {
        command.env("PROTOC", protoc()?);
    }
    Ok(command)
}

/// The compiler of protocol buffers: the machine's, else the one that came with this program.
pub(crate) fn protoc() -> Result<PathBuf> {
    env::find_program("protoc").map_or_else(
        || {
            protoc_bin_vendored::protoc_bin_path().map_err(|err| {
                Error::Other(format!("no protoc for this machine: {err}; install one on the PATH"))
            })
        },
        Ok,
    )
}

/// Builds the three programs; returns the folder they are in.
pub(crate) fn build_programs(profile: Profile) -> Result<PathBuf> {
    let mut build = command()?;
    build.args(["build", "--profile", profile.name()]);
    build.args([
        "--package",
        "oprc-pm",
        "--package",
        "oprc-crm",
        "--package",
        "oprc-cli",
        "--bins",
    ]);
    run(&mut build)?;
    Ok(env::target_dir()?.join(profile.folder()))
}

/// Runs `command` to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = describe(command);
    let status = command.status().map_err(io(format!("starting `{text}`")))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: text, status }) }
}

/// As [`run`]; also calls `read` with each line of its standard output.
pub(crate) fn run_reading(command: &mut Command, mut read: impl FnMut(&str)) -> Result<()> {
    let text = describe(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(io(format!("starting `{text}`")))?;
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        let line = line.map_err(io(format!("reading from `{text}`")))?;
        let line = String::from_utf8_lossy(&line);
        say!("{line}");
        read(&line);
    }
    let status = child.wait().map_err(io(format!("waiting for `{text}`")))?;
    if status.success() { Ok(()) } else { Err(Error::Failed { command: text, status }) }
}

/// The program and its arguments as one line.
pub(crate) fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the script without a `protoc` on the path, with dependencies downloaded below `cargo_home`.
    fn script(cargo_home: &Path) -> std::process::Output {
        let mut command = Command::new(env::root().unwrap().join(SCRIPT));
        command.env_clear().env("PATH", "").env("CARGO_HOME", cargo_home).arg("--version");
        command.output().unwrap()
    }

    #[test]
    fn a_plain_build_finds_a_protoc_among_the_dependencies() {
        let home =
            env::get("HOME").map_or_else(PathBuf::new, |home| Path::new(&home).join(".cargo"));
        let found = script(&env::get("CARGO_HOME").map_or(home, PathBuf::from));
        let version = String::from_utf8_lossy(&found.stdout);
        assert!(found.status.success() && version.starts_with("libprotoc"), "{found:?}");

        let missing = script(Path::new("/nowhere"));
        let told = String::from_utf8_lossy(&missing.stderr);
        let first = told.lines().next().unwrap_or_default();
        assert!(!missing.status.success() && first.contains("`cargo xtask build`"), "{missing:?}");

        let config = std::fs::read_to_string(env::root().unwrap().join(".cargo/config.toml"));
        assert!(config.unwrap().contains(&format!("PROTOC = {{ value = \"{SCRIPT}\"")));
    }
}
