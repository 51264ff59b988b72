//! Logging: one line for each event, to standard output, through a queue.
//!
//! Invariants:
//! - an event is formatted by the thread that logs it and written by a thread of its own; a reader
//!   that is slow, stuck or gone costs lines, never time;
//! - the queue holds at most [`queue::MAX_BYTES`]; what does not fit is dropped and counted in
//!   `oprc_log_dropped_lines_total`.

mod queue;

use std::{io, panic, thread};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{ParseError, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::{SubscriberInitExt as _, TryInitError},
};

pub use self::queue::Guard;
pub(crate) use self::queue::describe_metrics;

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in a line; the event's fields are its fields.
    Json,
    /// A line for people.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("{filter:?} is not a log filter: want a level, or a list like info,oprc_crm=debug")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The process has a subscriber already.
    #[error("logging is set up twice")]
    Twice(#[source] TryInitError),
    /// The system gives no thread.
    #[error("the thread that writes the log cannot be started")]
    Thread(#[source] io::Error),
}

/// Logs to standard output from now on, panics included, until the process ends.
///
/// The guard is to be kept to the end of `main`: dropping it waits, for a bounded time, for what is
/// queued to be written.
///
/// # Errors
///
/// When `filter` is not one, when called twice, or when no thread can be had.
pub fn init_logging(filter: &str, format: Format) -> Result<Guard, LogError> {
    let targets: Targets =
        filter.parse().map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let (queue, guard) = queue::start(io::stdout()).map_err(LogError::Thread)?;
    let subscriber = tracing_subscriber::registry().with(layer(format, queue).with_filter(targets));
    subscriber.try_init().map_err(LogError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// What turns events into lines for `writer`.
fn layer<S, W>(format: Format, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    match format {
        // The innermost span alone: it repeats what those around it say of the same request.
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        Format::Text => lines.boxed(),
    }
}

/// A panic is an event like any other: on one line, in the log's format, with where it happened.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a text)");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let current = thread::current();
    let thread = current.name().unwrap_or_default();
    tracing::error!(error = message, location, thread, "panicked");
}

#[cfg(test)]
mod tests;
