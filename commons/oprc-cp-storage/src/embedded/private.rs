//! Who may read the store: the process's user alone. Documents may hold secrets.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

/// Permissions of a new file.
pub(super) const FILE_MODE: u32 = 0o600;

/// Permissions of a new folder.
const FOLDER_MODE: u32 = 0o700;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// Makes the folder at `path`, and those above it that are missing, for the process's user alone.
/// One that is there stays as it is; others' access to it is logged.
///
/// # Errors
///
/// When a folder cannot be made, or `path` is no folder.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        warn_if_shared(path);
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Logs a warning if others than the owner have access to what is at `path`.
pub(super) fn warn_if_shared(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        let wanted = if metadata.is_dir() { FOLDER_MODE } else { FILE_MODE };
        tracing::warn!(
            path = %path.display(),
            "others may read the store, which may hold secrets: its mode is {mode:o}; \
             chmod {wanted:o} takes that away"
        );
    }
}
