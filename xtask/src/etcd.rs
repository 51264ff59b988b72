//! An etcd for the tests: the machine's, else the one of the system's packages.
//!
//! A package is unpacked into the target folder, not installed: that needs no rights, and an
//! installed `etcd-server` would be started at once on the usual ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cargo, env,
    error::{Error, Result, at, io, say},
};

const PACKAGE: &str = "etcd-server";

/// The program to be tested against; fetched if there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(etcd) = find()? {
        return Ok(etcd);
    }
    if env::find_program("apt-get").is_none() || env::find_program("dpkg").is_none() {
        return Err(missing("this machine has no apt-get to fetch one with"));
    }
    say!("fetching {PACKAGE} from the system's packages");
    let folder = tools()?;
    fs::create_dir_all(&folder).map_err(at("making", &folder))?;
    if download(&folder).is_err() {
        // A machine that never asked for the list of packages knows of none.
        update_lists()?;
        download(&folder).map_err(|_| missing("the system's packages have none"))?;
    }
    unpack(&folder)?;
    find()?.ok_or_else(|| missing("the package holds no /usr/bin/etcd"))
}

/// The program, where one is already there.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    if let Some(named) = env::get("OPRC_TEST_ETCD") {
        return Ok(Some(named.into()));
    }
    let fetched = tools()?.join("usr/bin/etcd");
    Ok(env::find_program("etcd").or_else(|| fetched.is_file().then_some(fetched)))
}

fn missing(why: &str) -> Error {
    Error::Other(format!(
        "the tests need etcd, and {why}: install etcd 3.4 or later on the PATH (Debian and Ubuntu: \
         `apt-get install {PACKAGE}`), or name the program in OPRC_TEST_ETCD"
    ))
}

fn tools() -> Result<PathBuf> {
    Ok(env::target_dir()?.join("tools"))
}

fn download(folder: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    cargo::run(download.args(["download", PACKAGE]).current_dir(folder).stdin(Stdio::null()))
}

/// `apt-get update`, as root or through `sudo` where that asks no password.
fn update_lists() -> Result<()> {
    let update = |command: &mut Command| cargo::run(command.stdin(Stdio::null()));
    let direct = update(Command::new("apt-get").args(["update", "--quiet"]));
    if direct.is_ok() {
        return Ok(());
    }
    update(Command::new("sudo").args(["-n", "apt-get", "update", "--quiet"]))
        .map_err(|_| missing("`apt-get update` needs rights that this user lacks"))
}

fn unpack(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at("listing", folder))? {
        let path = entry.map_err(io("listing packages"))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            cargo::run(Command::new("dpkg").arg("--extract").args([&path, folder]))?;
        }
    }
    Ok(())
}
