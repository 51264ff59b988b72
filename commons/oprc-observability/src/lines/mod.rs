//! Lines that are kept: an audit log, in a file or on standard output.
//!
//! Unlike the log, whoever writes learns beforehand whether there is room: a place is taken, and a
//! line that has a place is written unless its target fails. What becomes of a line then is said by
//! [`Loss`].
//!
//! Invariants:
//! - a thread of its own writes; a slow disk costs places, never the caller's time;
//! - at most [`MAX_LINES`] wait;
//! - a line is never joined to a broken one before it;
//! - lines are handed to the system, not forced onto the disk: a machine that loses power may lose
//!   the last ones, a process that is killed only those that still wait.

mod file;

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
    time::Duration,
};

use metrics::{counter, describe_counter};

use self::file::Rotated;

/// The most lines that wait to be written. Why 8192: some seconds of writes at the rate of a
/// saturated store, and a few megabytes.
const MAX_LINES: usize = 8192;

/// Between two attempts at a line that may not be lost.
const RETRY: Duration = Duration::from_secs(1);

/// The longest wait for what is queued at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

const LOST: &str = "oprc_audit_lines_lost_total";
const WRITTEN: &str = "oprc_audit_lines_written_total";

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file that is set aside when it is full.
    File {
        /// The file.
        path: PathBuf,
        /// How large it may become.
        max_bytes: u64,
        /// How many that were set aside are kept.
        max_files: usize,
    },
}

/// What becomes of a line that its target does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is counted and dropped.
    Counted,
    /// It is tried again and again; meanwhile there is no place for others.
    Forbidden,
}

enum Message {
    Line(Vec<u8>),
    /// Dropped, and so answered, when all lines before it were written.
    Flush(SyncSender<()>),
}

/// What both ends look at.
#[derive(Debug, Default)]
struct Shared {
    n_taken: AtomicUsize,
    is_failing: AtomicBool,
    is_ending: AtomicBool,
}

/// The writing end, one for all threads.
#[derive(Clone, Debug)]
pub struct Lines {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    loss: Loss,
}

/// Waits for what is queued when it is dropped, unless that takes too long.
#[must_use = "dropping it at once loses the last lines"]
#[derive(Debug)]
pub struct LinesGuard {
    sender: Sender<Message>,
    shared: Arc<Shared>,
}

/// Room for one line. Dropped, it is free again.
#[derive(Debug)]
pub struct Place {
    sender: Sender<Message>,
    shared: Arc<Shared>,
    is_used: bool,
}

/// Describes the metrics of kept lines.
pub(crate) fn describe_metrics() {
    describe_counter!(WRITTEN, "Audit lines that were written.");
    describe_counter!(
        LOST,
        "Audit lines that were lost: the queue was full, or the target did not take them."
    );
}

impl Lines {
    /// Opens `target`, and starts the thread that writes to it.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or no thread can be had.
    pub fn open(target: Target, loss: Loss) -> io::Result<(Self, LinesGuard)> {
        match target {
            Target::Stdout => Self::over(io::stdout(), loss),
            Target::File { path, max_bytes, max_files } => {
                Self::over(Rotated::open(path, max_bytes, max_files)?, loss)
            }
        }
    }

    /// As [`Lines::open`], to any `output` that takes each line with one call.
    fn over(output: impl Write + Send + 'static, loss: Loss) -> io::Result<(Self, LinesGuard)> {
        let (sender, receiver) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let writer = Writer { shared: Arc::clone(&shared), loss, output };
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&receiver))?;
        let guard = LinesGuard { sender: sender.clone(), shared: Arc::clone(&shared) };
        Ok((Self { sender, shared, loss }, guard))
    }

    /// Room for one line; `None`: there is none now. Who goes on without it counts it as lost with
    /// [`Lines::lose`].
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        if self.loss == Loss::Forbidden && self.shared.is_failing.load(Ordering::Relaxed) {
            return None;
        }
        let is_free = self.shared.n_taken.fetch_add(1, Ordering::Relaxed) < MAX_LINES;
        // Dropping it takes it back.
        let place =
            Place { sender: self.sender.clone(), shared: Arc::clone(&self.shared), is_used: false };
        is_free.then_some(place)
    }

    /// What becomes of lines that cannot be written.
    #[must_use]
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Counts a line that found no place.
    pub fn lose(&self) {
        counter!(LOST).increment(1);
    }
}

impl Place {
    /// Has `line` written; it ends with a line feed.
    pub fn write(mut self, line: Vec<u8>) {
        self.is_used = self.sender.send(Message::Line(line)).is_ok();
        if !self.is_used {
            counter!(LOST).increment(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_used {
            self.shared.n_taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for LinesGuard {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
        let (done, is_done) = mpsc::sync_channel(0);
        if self.sender.send(Message::Flush(done)).is_ok() {
            // Disconnected means written; a timeout means that the target takes nothing.
            let _ = is_done.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

struct Writer<W> {
    shared: Arc<Shared>,
    loss: Loss,
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes every line until no sender is left.
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Line(line) => {
                    self.write(&line);
                    self.shared.n_taken.fetch_sub(1, Ordering::Relaxed);
                }
                Message::Flush(done) => drop(done),
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        loop {
            let Err(error) = self.output.write_all(line).and_then(|()| self.output.flush()) else {
                if self.shared.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the audit log can be written again");
                }
                counter!(WRITTEN).increment(1);
                return;
            };
            if !self.shared.is_failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the audit log cannot be written");
            }
            let is_ending = self.shared.is_ending.load(Ordering::Relaxed);
            if self.loss == Loss::Counted || is_ending {
                counter!(LOST).increment(1);
                return;
            }
            thread::park_timeout(RETRY);
        }
    }
}

#[cfg(test)]
mod tests;
