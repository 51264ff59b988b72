//! The system's packages, unpacked into the target folder.
//!
//! Not installed: that needs no rights, and an installed `etcd-server` would be started at once on
//! the usual ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cargo, env,
    error::{Error, Result, at, io, say},
};

/// The folder that packages are unpacked into.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(env::target_dir()?.join("tools"))
}

/// Fetches and unpacks `package`.
pub(crate) fn fetch(package: &str) -> Result<()> {
    if env::find_program("apt-get").is_none() || env::find_program("dpkg").is_none() {
        return Err(Error::Other("this machine has no apt-get to fetch one with".to_owned()));
    }
    say!("fetching {package} from the system's packages");
    let folder = folder()?;
    fs::create_dir_all(&folder).map_err(at("making", &folder))?;
    if download(package, &folder).is_err() {
        // A machine that never asked for the list of packages knows of none.
        update_lists()?;
        download(package, &folder)
            .map_err(|_| Error::Other("the system's packages have none".to_owned()))?;
    }
    unpack(package, &folder)
}

fn download(package: &str, folder: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    cargo::run(download.args(["download", package]).current_dir(folder).stdin(Stdio::null()))
}

/// `apt-get update`, as root or through `sudo` where that asks no password.
fn update_lists() -> Result<()> {
    let update = |command: &mut Command| cargo::run(command.stdin(Stdio::null()));
    let direct = update(Command::new("apt-get").args(["update", "--quiet"]));
    if direct.is_ok() {
        return Ok(());
    }
    update(Command::new("sudo").args(["-n", "apt-get", "update", "--quiet"]))
        .map_err(|_| Error::Other("`apt-get update` needs rights that this user lacks".to_owned()))
}

fn unpack(package: &str, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at("listing", folder))? {
        let path = entry.map_err(io("listing packages"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{package}_")) && name.ends_with(".deb") {
            cargo::run(Command::new("dpkg").arg("--extract").args([&path, folder]))?;
        }
    }
    Ok(())
}
