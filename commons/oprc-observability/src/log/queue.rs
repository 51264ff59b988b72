//! The queue between those who log and the thread that writes.
//!
//! Why not write at once: standard output is a pipe to a collector. When the collector stops
//! reading, a write blocks whoever logs next, and the whole process stands still.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
    time::Duration,
};

use metrics::{counter, describe_counter};
use tracing_subscriber::fmt::MakeWriter;

/// The most that waits to be written, in bytes. Why 8 MiB: some 30,000 lines, a second's worth of a
/// burst at the `debug` level.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a queued line costs beyond its text, about.
const LINE_OVERHEAD_BYTES: usize = 64;

/// The longest wait for the queue to be written at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// How much is written with one call.
const BATCH_BYTES: usize = 64 * 1024;

enum Message {
    Line(Vec<u8>),
    /// Dropped, and so answered, when all lines before it were written.
    Flush(SyncSender<()>),
}

/// The sending end, one for all threads.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Message>,
    queued_bytes: Arc<AtomicUsize>,
}

/// Writes out what is queued when it is dropped, unless that takes too long.
#[must_use = "dropping it at once loses the last lines of the log"]
pub struct Guard(Sender<Message>);

/// Describes the metrics of the log.
pub(crate) fn describe_metrics() {
    describe_counter!(
        "oprc_log_dropped_lines_total",
        "Log lines that were dropped because standard output was closed or too slow."
    );
}

/// Starts the thread that writes to `output`.
pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<(Queue, Guard)> {
    let (sender, receiver) = mpsc::channel();
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let queue = Queue { sender: sender.clone(), queued_bytes: Arc::clone(&queued_bytes) };
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&receiver, &queued_bytes, output))?;
    Ok((queue, Guard(sender)))
}

/// Writes every line until no sender is left.
fn write_all(receiver: &Receiver<Message>, queued_bytes: &AtomicUsize, mut output: impl Write) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    while let Ok(first) = receiver.recv() {
        let mut n_lines = 0;
        let mut flushes = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    n_lines += 1;
                    batch.extend_from_slice(&line);
                    queued_bytes.fetch_sub(cost(&line), Ordering::Relaxed);
                }
                Message::Flush(done) => flushes.push(done),
            }
            next = if batch.len() < BATCH_BYTES { receiver.try_recv().ok() } else { None };
        }
        // A closed pipe fails at once and goes on failing; the process has other work to do.
        if output.write_all(&batch).and_then(|()| output.flush()).is_err() {
            count_dropped(n_lines);
        }
        batch.clear();
    }
}

fn cost(line: &[u8]) -> usize {
    line.len() + LINE_OVERHEAD_BYTES
}

fn count_dropped(n_lines: u64) {
    counter!("oprc_log_dropped_lines_total").increment(n_lines);
}

impl Write for &Queue {
    /// Takes one event, which the formatter writes with one call; drops it when the queue is full.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let cost = cost(line);
        let is_full = self.queued_bytes.fetch_add(cost, Ordering::Relaxed) + cost > MAX_BYTES;
        if is_full || self.sender.send(Message::Line(line.to_owned())).is_err() {
            self.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            count_dropped(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;
    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (done, is_done) = mpsc::sync_channel(0);
        if self.0.send(Message::Flush(done)).is_ok() {
            // Disconnected means written; a timeout means that nobody reads the log.
            let _ = is_done.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}
