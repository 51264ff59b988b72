//! The file under the database: locked by us, and looked at without being touched.
//!
//! redb repairs a file when it opens it, which writes to it. A damaged file must stay as it is, for
//! whoever wants to save what is in it; so it is first opened through [`Medium::overlay`], which
//! keeps the writes in memory, and then, if all is well, in earnest.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Error as IoError, ErrorKind},
    os::unix::fs::FileExt,
    sync::Arc,
};

use parking_lot::Mutex;
use redb::StorageBackend;

/// The unit in which an overlay keeps what was written.
const BLOCK_BYTES: u64 = 4096;

/// The file, whose lock is held as long as a clone lives.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    file: Arc<File>,
    overlay: Option<Arc<Mutex<Overlay>>>,
    /// Room on the disk, for tests; written to or grown beyond it, the disk is full.
    #[cfg(test)]
    pub(super) max_bytes: Arc<std::sync::atomic::AtomicU64>,
    /// The power of the disk, for tests that cut it.
    #[cfg(test)]
    power: Option<Arc<super::tests::power::Power>>,
}

#[derive(Debug)]
struct Overlay {
    n_bytes: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Medium {
    /// The file itself. The caller holds its lock.
    pub(super) fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
            overlay: None,
            #[cfg(test)]
            max_bytes: Arc::new(u64::MAX.into()),
            #[cfg(test)]
            power: None,
        }
    }

    /// The file, on a disk whose power may be cut.
    #[cfg(test)]
    pub(super) fn powered_by(file: File, power: Arc<super::tests::power::Power>) -> Self {
        Self { power: Some(power), ..Self::new(file) }
    }

    /// The file as it is, with writes that go nowhere.
    pub(super) fn overlay(&self) -> Result<Self, IoError> {
        let overlay = Overlay { n_bytes: self.file.metadata()?.len(), blocks: BTreeMap::new() };
        Ok(Self { overlay: Some(Arc::new(Mutex::new(overlay))), ..self.clone() })
    }

    #[cfg(test)]
    fn check_room(&self, end: u64) -> Result<(), IoError> {
        match end > self.max_bytes.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests have a small disk")]
    fn check_room(&self, _end: u64) -> Result<(), IoError> {
        Ok(())
    }

    /// A block as the overlay has it, or as the file does; zeroes beyond its end.
    fn block(&self, overlay: &Overlay, index: u64) -> Result<Vec<u8>, IoError> {
        if let Some(block) = overlay.blocks.get(&index) {
            return Ok(block.clone());
        }
        let mut block = vec![0; to_usize(BLOCK_BYTES)?];
        let mut n_read = 0;
        while let Some(rest) = block.get_mut(n_read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, index * BLOCK_BYTES + n_read as u64)? {
                0 => break,
                n => n_read += n,
            }
        }
        Ok(block)
    }

    /// Calls `visit` with each block that `offset..offset + n_bytes` touches: its index, the part
    /// of the block and the part of the range that are the same bytes.
    fn for_blocks(
        offset: u64,
        n_bytes: usize,
        mut visit: impl FnMut(
            u64,
            std::ops::Range<usize>,
            std::ops::Range<usize>,
        ) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        let mut done = 0;
        while done < n_bytes {
            let at = offset + done as u64;
            let start = to_usize(at % BLOCK_BYTES)?;
            let length = (to_usize(BLOCK_BYTES)? - start).min(n_bytes - done);
            visit(at / BLOCK_BYTES, start..start + length, done..done + length)?;
            done += length;
        }
        Ok(())
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> Result<u64, IoError> {
        match &self.overlay {
            Some(overlay) => Ok(overlay.lock().n_bytes),
            None => Ok(self.file.metadata()?.len()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), IoError> {
        let Some(overlay) = &self.overlay else {
            return self.file.read_exact_at(out, offset);
        };
        let overlay = overlay.lock();
        if offset.saturating_add(out.len() as u64) > overlay.n_bytes {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Self::for_blocks(offset, out.len(), |index, within, range| {
            let block = self.block(&overlay, index)?;
            if let (Some(to), Some(from)) = (out.get_mut(range), block.get(within)) {
                to.copy_from_slice(from);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), IoError> {
        let Some(overlay) = &self.overlay else {
            self.check_room(len)?;
            #[cfg(test)]
            self.power.as_ref().map_or(Ok(()), |power| power.set_len(len))?;
            return self.file.set_len(len);
        };
        let mut overlay = overlay.lock();
        let first_gone = len.div_ceil(BLOCK_BYTES);
        overlay.blocks.retain(|index, _| *index < first_gone);
        overlay.n_bytes = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), IoError> {
        match &self.overlay {
            Some(_) => Ok(()),
            #[cfg(test)]
            None if self.power.is_some() => {
                self.power.as_ref().map_or(Ok(()), |power| power.sync())
            }
            None => self.file.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), IoError> {
        let end = offset.saturating_add(data.len() as u64);
        let Some(overlay) = &self.overlay else {
            self.check_room(end)?;
            #[cfg(test)]
            self.power.as_ref().map_or(Ok(()), |power| power.write(offset, data))?;
            return self.file.write_all_at(data, offset);
        };
        let mut overlay = overlay.lock();
        overlay.n_bytes = overlay.n_bytes.max(end);
        Self::for_blocks(offset, data.len(), |index, within, range| {
            let mut block = self.block(&overlay, index)?;
            if let (Some(to), Some(from)) = (block.get_mut(within), data.get(range)) {
                to.copy_from_slice(from);
            }
            overlay.blocks.insert(index, block);
            Ok(())
        })
    }
}

fn to_usize(n: u64) -> Result<usize, IoError> {
    usize::try_from(n).map_err(|_| ErrorKind::FileTooLarge.into())
}
