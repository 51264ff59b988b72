//! Room on the disk that only deletions and elections may use.
//!
//! A database needs free pages to remove something, so a store that has filled its disk could not be
//! emptied. The reserve is a file beside the store that takes up room. While it does, no other write
//! can use that room; it is given up for a transaction that adds nothing, and taken back after it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// The most bytes that are kept free: some hundred deletions of the largest documents.
const MAX_BYTES: u64 = 16 << 20;

/// The share of the free room that is taken when the store is opened, for small disks.
const SHARE: u64 = 4;

/// The unit in which room is taken.
const STEP: u64 = 1 << 20;

/// The reserve of one store file.
#[derive(Debug)]
pub(super) struct Reserve {
    /// `None` where the file system has no such files; there is no reserve then.
    file: Option<File>,
    n_held: u64,
    n_wanted: u64,
}

impl Reserve {
    /// Opens the reserve of the store at `path` and takes room for it.
    pub(super) fn open(path: &Path) -> Self {
        let mut name = path.to_owned();
        name.as_mut_os_string().push(".reserve");
        let mut reserve = match Self::of_file(&name) {
            Ok(reserve) => reserve,
            Err(error) => {
                tracing::warn!(%error, path = %name.display(), "no room is reserved for deletions");
                Self { file: None, n_held: 0, n_wanted: 0 }
            }
        };
        reserve.fill();
        reserve
    }

    fn of_file(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        let n_held = file.metadata()?.len();
        let room = fstatvfs(&file)?;
        let n_free = n_held.saturating_add(room.f_bavail.saturating_mul(room.f_frsize));
        let n_wanted = MAX_BYTES.min(n_free / SHARE) / STEP * STEP;
        Ok(Self { file: Some(file), n_held, n_wanted })
    }

    /// Takes as much of the wanted room as there is; `true` if that is all of it.
    pub(super) fn fill(&mut self) -> bool {
        while self.n_held < self.n_wanted {
            if !self.take((self.n_held + STEP).min(self.n_wanted)) {
                return false;
            }
        }
        true
    }

    /// `true` if all of the reserve is held and there is room beside it.
    pub(super) fn has_room_beside(&mut self) -> bool {
        if !self.fill() {
            return false;
        }
        let held = self.n_held;
        let has_room = self.file.is_none() || self.take(held + STEP);
        self.shrink(held);
        has_room
    }

    /// Gives the room up; `true` if there was any.
    pub(super) fn release(&mut self) -> bool {
        let had_room = self.n_held > 0;
        self.shrink(0);
        had_room
    }

    /// Takes room up to `n_bytes` in all.
    fn take(&mut self, n_bytes: u64) -> bool {
        let Some(file) = &self.file else { return false };
        let is_taken = fallocate(file, FallocateFlags::empty(), 0, n_bytes).is_ok();
        if is_taken {
            self.n_held = n_bytes;
        }
        is_taken
    }

    fn shrink(&mut self, n_bytes: u64) {
        if let Some(file) = &self.file
            && file.set_len(n_bytes).is_ok()
        {
            self.n_held = n_bytes;
        }
    }
}
