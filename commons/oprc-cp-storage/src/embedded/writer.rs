//! The thread that writes. Transactions that arrive while one sync is under way share the next.
//!
//! It alone changes the state, in this order: decide, write, sync, make visible, answer. So nobody
//! sees what is not durable, and who is told of a revision finds it after a power cut.

use std::{
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
    Error, LeaseId, Revision, Txn, limits,
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

#[derive(Debug)]
pub(super) enum What {
    Txn(Txn),
    EndLease(LeaseId),
    /// End the leases that have run out.
    Expire,
}

impl Command {
    fn n_bytes(&self) -> usize {
        match &self.what {
            What::Txn(txn) => limits::txn_bytes(txn),
            What::EndLease(_) | What::Expire => 0,
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
}

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
        let mut pending = Pending::default();
        let answers = self.shared.read(|mvcc| decide(mvcc, &mut pending, batch));
        let forgotten = self.shared.read(Mvcc::compacted);
        let written = self.disk.write(pending.commits(), forgotten);
        let error = match written {
            Ok(()) => {
                self.publish(pending);
                None
            }
            Err(err) => {
                tracing::error!(error = %err, "writing the store file failed");
                self.doubtful = Some(pending);
                let is_settled = self.settle().is_ok();
                Some((err, is_settled))
            }
        };
        for (sender, answer) in answers {
            // What is said of one is true of all: they were written together.
            let answer = match (&error, answer) {
                (None, answer) => answer,
                (Some(_), Err(err @ Error::Refused { .. })) => Err(err),
                (Some((_, true)), Ok(revision)) if self.has(revision) => Ok(revision),
                (Some((err, true)), _) => Err(not_written(err)),
                (Some((err, false)), _) => Err(Error::MaybeDone { source: err.to_string().into() }),
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

    fn has(&self, revision: Revision) -> bool {
        self.shared.read(Mvcc::revision) >= revision
    }

    fn publish(&self, pending: Pending) {
        if !pending.is_empty() {
            self.shared.write(|mvcc| mvcc.publish(pending));
        }
    }
}

/// Decides each command on the state and on the ones before it.
fn decide(mvcc: &Mvcc, pending: &mut Pending, batch: Vec<Command>) -> Vec<Answer> {
    let decided = batch.into_iter().map(|Command { what, now, answer }| {
        pending.expire(mvcc, now);
        let decided = match what {
            What::Txn(txn) => pending.txn(mvcc, txn, now),
            What::EndLease(lease) => {
                pending.end_lease(mvcc, lease);
                Ok(mvcc.revision())
            }
            What::Expire => Ok(mvcc.revision()),
        };
        (answer, decided)
    });
    decided.collect()
}

/// What to say when it is certain that nothing was written.
fn not_written(err: &IoError) -> Error {
    let source = err.to_string().into();
    match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::Full { source }
        }
        _ => Error::Unavailable { source },
    }
}
