//! A file of lines that is set aside when it is full.
//!
//! `audit.log` becomes `audit.log.1`, that becomes `audit.log.2`, and so on; the oldest is removed.
//! By renaming alone, so that at every instant each line is in exactly one file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Who may read it: the process's user alone.
const MODE: u32 = 0o600;

/// The file.
pub(super) struct Rotated {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    max_bytes: u64,
    max_files: usize,
    /// It ends in the middle of a line, which a write left that did not succeed.
    is_torn: bool,
}

impl Rotated {
    /// Opens the file for appending; made if it is not there. Its folder must be.
    pub(super) fn open(path: PathBuf, max_bytes: u64, max_files: usize) -> io::Result<Self> {
        let (file, n_bytes, is_torn) = open(&path)?;
        Ok(Self { path, file, n_bytes, max_bytes, max_files, is_torn })
    }

    /// Sets the file aside, and begins a new one.
    fn rotate(&mut self) -> io::Result<()> {
        // Not there: set aside by an attempt that went no further, or by somebody else.
        if self.path.try_exists()? {
            for n in (1..self.max_files).rev() {
                rename(&aside(&self.path, n), &aside(&self.path, n + 1))?;
            }
            rename(&self.path, &aside(&self.path, 1))?;
        }
        (self.file, self.n_bytes, self.is_torn) = open(&self.path)?;
        Ok(())
    }
}

/// The file, how long it is, and whether it ends in the middle of a line.
fn open(path: &Path) -> io::Result<(File, u64, bool)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & !MODE != 0 {
        tracing::warn!(path = %path.display(), "others may read this file: its mode is {mode:o}; chmod {MODE:o} takes that away");
    }
    let n_bytes = metadata.len();
    if n_bytes == 0 {
        return Ok((file, 0, false));
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok((file, n_bytes, last != [b'\n']))
}

/// The name of the `n`th file that was set aside.
fn aside(path: &Path, n: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{n}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

impl Write for Rotated {
    /// Takes one line, whole or not at all as far as its reader can tell.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.n_bytes > 0 && self.n_bytes.saturating_add(length) > self.max_bytes {
            self.rotate()?;
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.n_bytes = self.n_bytes.saturating_add(1);
        }
        self.is_torn = true;
        self.file.write_all(line)?;
        self.is_torn = false;
        self.n_bytes = self.n_bytes.saturating_add(length);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
