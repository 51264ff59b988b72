//! The thread that writes. Transactions that arrive while one sync is under way share the next.
//!
//! It alone changes the state, in this order: decide, write, sync, make visible, answer. So nobody
//! sees what is not durable, and who is told of a revision finds it after a power cut.

use std::{
    collections::BTreeMap,
    io::{Error as IoError, ErrorKind},
    mem,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::disk::Disk;
use crate::{
    Error, LeaseId, Op, Revision, Txn, Write, limits,
    local::Shared,
    mvcc::{Mvcc, Pending},
};

/// The most commands that share a sync.
const MAX_BATCH: usize = 256;

/// The most bytes of the transactions that share a sync.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Something to decide and write.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) what: What,
    /// When it was asked for: leases that had run out then are ended before it.
    pub(super) now: Instant,
    pub(super) answer: oneshot::Sender<Result<Revision, Error>>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Txn(Txn),
    EndLease(LeaseId),
    /// End the leases that have run out.
    Expire,
    /// Find out whether writes succeed again.
    Probe,
}

impl Command {
    fn n_bytes(&self) -> usize {
        match &self.what {
            What::Txn(txn) => limits::txn_bytes(txn),
            What::EndLease(_) | What::Expire | What::Probe => 0,
        }
    }
}

type Answer = (oneshot::Sender<Result<Revision, Error>>, Result<Revision, Error>);

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Disk,
    /// What was being written when a write failed: it may be in the file or not.
    pub(super) doubtful: Option<Pending>,
    /// `true` after a failed write, until one succeeds.
    pub(super) is_failing: bool,
}

/// How much a value may grow in a transaction that uses the reserve: a deletion marks its document.
const MAX_GROWTH: usize = 512;

/// A command by its place in its batch.
type Placed = (usize, What, Instant);

impl Writer {
    /// Serves until every sender is gone.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut n_bytes = first.n_bytes();
            let mut batch = vec![first];
            while batch.len() < MAX_BATCH && n_bytes < MAX_BATCH_BYTES {
                let Ok(command) = commands.try_recv() else { break };
                n_bytes += command.n_bytes();
                batch.push(command);
            }
            metrics::histogram!(super::BATCH_METRIC).record(batch.len() as f64);
            self.carry_out(batch);
        }
    }

    fn carry_out(&mut self, batch: Vec<Command>) {
        if let Err(err) = self.settle() {
            for command in batch {
                // Whoever has given up does not hear it.
                let _ = command.answer.send(Err(not_written(&err)));
            }
            return;
        }
        let frugal = self.frugal(&batch);
        let n_probes = batch.iter().filter(|command| matches!(command.what, What::Probe)).count();
        // What is frugal may succeed on a full disk, and then proves nothing.
        let is_proof = frugal.len() + n_probes < batch.len();
        let mut pending = Pending::default();
        let answers = self.shared.read(|mvcc| decide(mvcc, &mut pending, batch));
        let (revision, forgotten) = self.shared.read(|mvcc| (mvcc.revision(), mvcc.compacted()));
        let is_check = self.is_failing && n_probes > 0 && pending.commits().is_empty();
        let is_proof = is_check || is_proof && !pending.commits().is_empty();
        let written = if is_check {
            self.disk.check(revision, forgotten)
        } else {
            self.disk.write(pending.commits(), forgotten)
        };
        let mut retried = BTreeMap::new();
        let error = match written {
            Ok(()) => {
                self.publish(pending);
                self.is_failing &= !is_proof;
                None
            }
            Err(err) => {
                if !self.is_failing {
                    tracing::error!(error = %err, "writing the store file failed");
                }
                self.is_failing = true;
                self.doubtful = Some(pending);
                let reached = self.settle().ok().map(|()| self.shared.read(Mvcc::revision));
                if reached == Some(revision) && is_out_of_room(&err) {
                    retried = self.retry(frugal);
                }
                Some((err, reached))
            }
        };
        for (place, (sender, answer)) in answers.into_iter().enumerate() {
            // One result for all: they were written together.
            let answer = match (&error, answer) {
                (None, answer) => answer,
                (Some(_), Err(err @ Error::Refused { .. })) => Err(err),
                (Some((err, None)), _) => Err(Error::MaybeDone { source: err.to_string().into() }),
                (Some((err, Some(reached))), answer) => match (retried.remove(&place), answer) {
                    (Some(retried), _) => retried,
                    (None, Ok(revision)) if revision <= *reached && !is_check => Ok(revision),
                    (None, _) => Err(not_written(err)),
                },
            };
            let _ = sender.send(answer);
        }
    }

    /// After a failed write: opens the file again and finds out whether it had landed.
    pub(super) fn settle(&mut self) -> Result<(), IoError> {
        let Some(pending) = &self.doubtful else { return Ok(()) };
        let newest = pending.commits().last().map(|commit| commit.revision);
        let revision = self.disk.settle()?;
        let pending = mem::take(&mut self.doubtful);
        if let Some(pending) = pending
            && newest == Some(revision)
        {
            self.publish(pending);
        }
        Ok(())
    }

    /// The commands of `batch` that add nothing to the store.
    fn frugal(&self, batch: &[Command]) -> Vec<Placed> {
        self.shared.read(|mvcc| {
            let is_frugal = |command: &&Command| match &command.what {
                What::Txn(txn) => txn.writes.iter().all(|write| adds_nothing(mvcc, write)),
                What::EndLease(_) | What::Expire => true,
                What::Probe => false,
            };
            let placed = batch.iter().enumerate();
            placed
                .filter(|(_, command)| is_frugal(command))
                .map(|(place, command)| (place, command.what.clone(), command.now))
                .collect()
        })
    }

    /// Carries out `frugal` on a full disk, in the room of the reserve; returns their results by place.
    fn retry(&mut self, frugal: Vec<Placed>) -> BTreeMap<usize, Result<Revision, Error>> {
        if frugal.is_empty() || !self.disk.release_reserve() {
            return BTreeMap::new();
        }
        tracing::warn!(n_commands = frugal.len(), "the disk is full; using the reserve");
        // The room of the past is of more use now; a watch that needs it lists again.
        self.shared.write(|mvcc| mvcc.compact(mvcc.revision()));
        let mut pending = Pending::default();
        let (mut answers, forgotten) = self.shared.read(|mvcc| {
            let decided = frugal
                .into_iter()
                .map(|(place, what, now)| (place, decide_one(mvcc, &mut pending, what, now)));
            (decided.collect::<BTreeMap<_, _>>(), mvcc.compacted())
        });
        match self.disk.write(pending.commits(), forgotten) {
            Ok(()) => self.publish(pending),
            Err(err) => {
                self.doubtful = Some(pending);
                let reached = self.settle().ok().map(|()| self.shared.read(Mvcc::revision));
                for answer in answers.values_mut() {
                    let has_landed =
                        |revision: &Revision| reached.is_some_and(|it| *revision <= it);
                    match (&answer, reached) {
                        (Ok(revision), _) if has_landed(revision) => {}
                        (_, Some(_)) => *answer = Err(not_written(&err)),
                        (_, None) => {
                            *answer = Err(Error::MaybeDone { source: err.to_string().into() });
                        }
                    }
                }
            }
        }
        self.disk.fill_reserve();
        answers
    }

    fn publish(&self, pending: Pending) {
        if !pending.is_empty() {
            self.shared.write(|mvcc| mvcc.publish(pending));
        }
    }
}

/// Decides each command on the state and on the ones before it.
fn decide(mvcc: &Mvcc, pending: &mut Pending, batch: Vec<Command>) -> Vec<Answer> {
    let decided = batch
        .into_iter()
        .map(|Command { what, now, answer }| (answer, decide_one(mvcc, pending, what, now)));
    decided.collect()
}

fn decide_one(
    mvcc: &Mvcc,
    pending: &mut Pending,
    what: What,
    now: Instant,
) -> Result<Revision, Error> {
    pending.expire(mvcc, now);
    match what {
        What::Txn(txn) => pending.txn(mvcc, txn, now),
        What::EndLease(lease) => {
            pending.end_lease(mvcc, lease);
            Ok(mvcc.revision())
        }
        What::Expire | What::Probe => Ok(mvcc.revision()),
    }
}

/// `true` if `write` removes a key, writes one that is not stored in the file, or replaces a value by
/// one that is hardly larger.
fn adds_nothing(mvcc: &Mvcc, write: &Write) -> bool {
    match &write.op {
        Op::Delete | Op::PutLeased(..) => true,
        Op::Put(value) => mvcc.get(&write.key).is_some_and(|item| {
            item.lease.is_none() && value.len() <= item.key_value.value.len() + MAX_GROWTH
        }),
    }
}

fn is_out_of_room(err: &IoError) -> bool {
    matches!(
        err.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// What to say when it is certain that nothing was written.
fn not_written(err: &IoError) -> Error {
    let source = err.to_string().into();
    match is_out_of_room(err) {
        true => Error::Full { source },
        false => Error::Unavailable { source },
    }
}
