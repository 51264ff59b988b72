//! `cargo`, started with what the build needs.

use std::{path::PathBuf, process::Command};

use crate::{
    env,
    error::{Error, Result, io},
};

/// The programs, as files.
pub(crate) const PROGRAMS: [&str; 3] = ["oprc-pm", "oprc-crm", "oprc"];

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
    if env::get("PROTOC").is_none() {
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

/// The program and its arguments as one line.
pub(crate) fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}
