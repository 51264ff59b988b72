//! The environment and the folders of the build.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result, io};

/// A variable of the environment. Only development reads it here; the programs read theirs through
/// `oprc-config`.
pub(crate) fn get(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Names of all variables that begin with `OPRC_`: settings of somebody's shell, which the programs
/// started here must not see.
pub(crate) fn settings() -> Vec<OsString> {
    let is_setting = |name: &OsString| name.to_string_lossy().starts_with("OPRC_");
    env::vars_os().map(|(name, _)| name).filter(is_setting).collect()
}

/// The program `name` on the `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = get("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The folder of the workspace.
pub(crate) fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or_else(|| Error::Other("xtask is not in a workspace".to_owned()))
}

/// The folder that cargo builds into: this program lies in `<it>/<profile>/`.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().map_err(io("finding this program"))?;
    program
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .ok_or_else(|| Error::Other(format!("{} is in no target folder", program.display())))
}
