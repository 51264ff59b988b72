//! Power cuts: what was written and not synced is lost, kept or torn, sector by sector.
//!
//! A kill leaves everything with the operating system. A power cut does not: of the writes since the
//! last sync, a disk may hold any, in any order, and halves of them down to its sector size.

use std::{
    collections::BTreeMap,
    fs,
    io::{Error as IoError, Result as IoResult},
    path::Path,
    sync::Arc,
};

use futures::future::join_all;
use parking_lot::Mutex;

use super::{
    super::{
        disk::{Contents, Disk},
        medium::Medium,
    },
    EmbeddedStore, patiently, temp,
};
use crate::{
    Error, KeyValue, Op, Precondition, Store, Write,
    mvcc::{Mvcc, Options},
    testing::conformance::{put, txn},
};

/// The unit that a disk writes as a whole.
const SECTOR: usize = 512;

/// How often the power is cut.
const N_LIVES: u64 = 200;

/// After so many lives the store begins empty again, so that the file stays small.
const N_LIVES_OF_FILE: u64 = 20;

/// The most writes, syncs and changes of length until a cut.
const MAX_OPS: usize = 400;

const N_WRITERS: usize = 4;

/// What was done to the file since the last sync.
enum Unsynced {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// A disk whose power is cut after a number of operations. The file itself is written to as well, and
/// serves the reads.
pub(in crate::embedded) struct Power {
    state: Mutex<State>,
}

struct State {
    synced: Vec<u8>,
    unsynced: Vec<Unsynced>,
    n_ops_left: usize,
    n_syncs: usize,
}

impl State {
    /// Counts an operation; an error once the power is cut.
    fn step(&mut self) -> IoResult<()> {
        match self.n_ops_left.checked_sub(1) {
            Some(left) => self.n_ops_left = left,
            None => return Err(IoError::other("the power is cut")),
        }
        Ok(())
    }
}

impl std::fmt::Debug for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Power")
    }
}

impl Power {
    fn new(image: Vec<u8>, n_ops_left: usize) -> Arc<Self> {
        let state = State { synced: image, unsynced: Vec::new(), n_ops_left, n_syncs: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(in crate::embedded) fn write(&self, offset: u64, data: &[u8]) -> IoResult<()> {
        let mut state = self.state.lock();
        state.step()?;
        let offset = usize::try_from(offset).map_err(IoError::other)?;
        state.unsynced.push(Unsynced::Write(offset, data.to_vec()));
        Ok(())
    }

    pub(in crate::embedded) fn set_len(&self, len: u64) -> IoResult<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.unsynced.push(Unsynced::SetLen(usize::try_from(len).map_err(IoError::other)?));
        Ok(())
    }

    pub(in crate::embedded) fn sync(&self) -> IoResult<()> {
        let mut state = self.state.lock();
        state.step()?;
        state.n_syncs += 1;
        let State { synced, unsynced, .. } = &mut *state;
        for op in unsynced.drain(..) {
            match op {
                Unsynced::Write(offset, data) => write_at(synced, offset, &data),
                Unsynced::SetLen(len) => synced.resize(len, 0),
            }
        }
        Ok(())
    }

    /// The file as it is found after the cut. Each sector of each unsynced write is there or not.
    fn image(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let state = self.state.lock();
        let mut image = state.synced.clone();
        let share = random.f64();
        for op in &state.unsynced {
            match op {
                Unsynced::SetLen(len) if random.f64() < share => image.resize(*len, 0),
                Unsynced::SetLen(_) => {}
                Unsynced::Write(offset, data) => {
                    let mut done = 0;
                    while done < data.len() {
                        let at = offset + done;
                        let length = (SECTOR - at % SECTOR).min(data.len() - done);
                        if random.f64() < share {
                            write_at(&mut image, at, &data[done..done + length]);
                        }
                        done += length;
                    }
                }
            }
        }
        image
    }
}

fn write_at(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

/// The values of one writer's two keys in its step `n`, `None` where that removes them.
fn value(writer: usize, n: u64) -> Option<Vec<u8>> {
    let n_bytes = usize::try_from(n).unwrap() * 37 % 2_000;
    (!n.is_multiple_of(5)).then(|| format!("{writer}:{n}:{}", "v".repeat(n_bytes)).into_bytes())
}

fn keys(writer: usize) -> [String; 2] {
    [format!("{writer}/one"), format!("{writer}/two")]
}

/// Writes both keys of `writer` in one transaction, again and again, until a write fails. Returns the
/// last step that was acknowledged; the next one was attempted.
async fn write(store: &EmbeddedStore, writer: usize, mut n: u64) -> u64 {
    loop {
        let mut writes = Vec::new();
        for key in keys(writer) {
            let found = store.get(&key).await.unwrap();
            let precondition =
                found.map_or(Precondition::Absent, |kv| Precondition::At(kv.mod_revision));
            match value(writer, n + 1) {
                Some(value) => writes.push(put(&key, precondition, value)),
                None if precondition == Precondition::Absent => {}
                None => writes.push(Write { key, precondition, op: Op::Delete }),
            }
        }
        match store.txn(txn(writes)).await {
            Ok(_) => n += 1,
            Err(Error::Unavailable { .. } | Error::MaybeDone { .. }) => return n,
            Err(err) => panic!("{err:?}"),
        }
    }
}

/// Opens the file as the store does, on a disk whose power will be cut.
fn open(path: &Path, power: &Arc<Power>) -> Option<EmbeddedStore> {
    let medium = |file| Medium::powered_by(file, Arc::clone(power));
    let (disk, contents) = patiently(|| Disk::open_on(path, medium)).ok()?;
    let Contents { revision, key_values, past } = contents;
    let mvcc = Mvcc::restore(Options::default(), revision, key_values, past);
    Some(EmbeddedStore::over(disk, mvcc).unwrap())
}

/// Opens the file after a cut: it must be whole.
fn contents(path: &Path, life: u64) -> Contents {
    match patiently(|| Disk::open(path)) {
        Ok((_, contents)) => contents,
        Err(err) => panic!("life {life}: {err}: {:?}", std::error::Error::source(&err)),
    }
}

/// The step of `writer` that `found` shows. Both keys must be of one step, and whole.
fn step_of(writer: usize, found: &BTreeMap<String, KeyValue>, steps: [u64; 2], life: u64) -> u64 {
    let stored = keys(writer).map(|key| found.get(&key).map(|kv| kv.value.to_vec()));
    // The later one first: where both remove the keys, it may have landed.
    let shown = steps.into_iter().rev().find(|n| stored == [value(writer, *n), value(writer, *n)]);
    shown.unwrap_or_else(|| {
        let heads = stored.map(|value| value.map(|value| value[..value.len().min(12)].to_vec()));
        panic!("writer {writer} in life {life}: want a step of {steps:?}, found {heads:?}")
    })
}

/// Cuts the power at any operation of opening, repairing and writing, under load: each acknowledged
/// transaction is there, and none is there in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_power_cuts() {
    let (_dir, path) = temp();
    drop(EmbeddedStore::open(&path).unwrap());
    let empty = fs::read(&path).unwrap();
    let mut image = empty.clone();
    let mut steps = [0; N_WRITERS];
    let mut n_acknowledged = 0;
    let mut n_torn = 0;
    for life in 0..N_LIVES {
        let mut random = fastrand::Rng::with_seed(life);
        if life % N_LIVES_OF_FILE == 0 {
            (image, steps) = (empty.clone(), [0; N_WRITERS]);
        }
        fs::write(&path, &image).unwrap();
        let power = Power::new(image, random.usize(..MAX_OPS));
        let acknowledged = match open(&path, &power) {
            Some(store) => {
                let writers = (0..).zip(steps).map(|(writer, n)| write(&store, writer, n));
                join_all(writers).await
            }
            None => steps.to_vec(),
        };
        n_torn += usize::from(!power.state.lock().unsynced.is_empty());
        image = power.image(&mut random);

        fs::write(&path, &image).unwrap();
        let Contents { key_values, .. } = contents(&path, life);
        let found = key_values.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
        for (writer, acknowledged) in acknowledged.into_iter().enumerate() {
            n_acknowledged += acknowledged - steps[writer];
            let either = [acknowledged, acknowledged + 1];
            steps[writer] = step_of(writer, &found, either, life);
        }
    }
    // The cuts are of the kind that is meant, and there was load.
    assert!(n_torn > N_LIVES as usize / 2, "cuts with unsynced writes: {n_torn}");
    assert!(n_acknowledged > 5 * N_LIVES, "acknowledged writes: {n_acknowledged}");
}

/// The check above notices a store that acknowledges before it syncs.
#[test]
fn unsynced_writes_are_lost_in_a_power_cut() {
    let power = Power::new(vec![0; 4 * SECTOR], 10);
    power.write(0, &[1; 2 * SECTOR]).unwrap();
    power.sync().unwrap();
    power.write(SECTOR as u64, &[2; 3 * SECTOR]).unwrap();
    let images: Vec<_> =
        (0..100).map(|seed| power.image(&mut fastrand::Rng::with_seed(seed))).collect();
    for image in &images {
        assert!(image[..SECTOR].iter().all(|byte| *byte == 1), "what was synced stays");
        for sector in image.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
        }
    }
    let is_torn = |image: &&Vec<u8>| image[SECTOR] != image[3 * SECTOR] && image[3 * SECTOR] == 2;
    assert!(images.iter().any(|image| is_torn(&image)), "later sectors without earlier ones");
}
