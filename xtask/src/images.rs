//! Container images of programs built here: no registry, no base image, no Dockerfile.
//!
//! Each holds one program and the shared libraries that it names, and nothing else: no shell, no
//! package manager. They are for `docker-compose.test.yml`, on the kind of machine that built them;
//! the Dockerfile makes those that are shipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cargo::{self, Profile},
    error::{Error, Result, at, io, say},
    etcd,
};

/// The user in the images, as in distroless ones: nobody on the host.
const USER: &str = "65532:65532";

/// Folder for a program's data, writable by [`USER`].
const DATA_DIR: &str = "data";

/// Builds the programs and makes an image of each, and one of etcd.
pub(crate) fn build(profile: Profile) -> Result<()> {
    let programs = cargo::build_programs(profile)?;
    let mut images: Vec<_> =
        cargo::PROGRAMS.iter().map(|name| (*name, programs.join(name))).collect();
    images.push(("etcd", etcd::ensure()?));
    for (name, program) in images {
        make(name, &program)?;
        say!("made oprc-test/{name}");
    }
    Ok(())
}

/// Makes the image of etcd alone, for the tests that want containers; says so where there is no
/// Docker.
pub(crate) fn of_etcd(etcd: &Path) -> Result<()> {
    let mut version = Command::new("docker");
    version.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        say!("skipped: no Docker, so nothing is tested in containers");
        return Ok(());
    }
    make("etcd", etcd)
}

/// Packs `program` with its libraries and hands the archive to Docker.
fn make(name: &str, program: &Path) -> Result<()> {
    let root = tempfile::tempdir().map_err(io("making a folder for an image"))?;
    copy_into(root.path(), program, Path::new(name))?;
    for library in libraries(program)? {
        let place = library.strip_prefix("/").unwrap_or(&library);
        copy_into(root.path(), &library, place)?;
    }
    let data = root.path().join(DATA_DIR);
    fs::create_dir(&data).map_err(at("making", &data))?;

    // The one of before would stay, without a name. There may be none.
    let mut remove = Command::new("docker");
    remove.args(["image", "rm", &format!("oprc-test/{name}")]);
    let _ = remove.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();

    let mut tar = Command::new("tar");
    tar.args(["--create", "--numeric-owner", "--owner=65532", "--group=65532", "--directory"]);
    let mut packing =
        tar.arg(root.path()).arg(".").stdout(Stdio::piped()).spawn().map_err(io("starting tar"))?;
    let archive = packing.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut import = Command::new("docker");
    import.arg("import");
    for change in [
        format!("ENTRYPOINT [\"/{name}\"]"),
        format!("USER {USER}"),
        format!("WORKDIR /{DATA_DIR}"),
    ] {
        import.args(["--change", &change]);
    }
    let imported = cargo::run(import.args(["-", &format!("oprc-test/{name}")]).stdin(archive));
    let packed = packing.wait().map_err(io("waiting for tar"))?;
    imported?;
    if packed.success() { Ok(()) } else { Err(Error::Other(format!("tar failed: {packed}"))) }
}

fn copy_into(root: &Path, from: &Path, place: &Path) -> Result<()> {
    let to = root.join(place);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(at("making", folder))?;
    }
    fs::copy(from, &to).map(drop).map_err(at("copying", from))
}

/// The shared libraries of `program`, the loader included; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().map_err(io("starting ldd"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // `name => /path (address)`, `/loader (address)`, `linux-vdso.so.1 (address)`.
    let path =
        |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(Into::into);
    Ok(text.lines().filter_map(path).collect())
}
