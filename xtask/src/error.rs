//! What went wrong, and printing.

use std::{error, io, path::Path};

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program ran and failed. It has said why.
    #[error("`{command}` failed: {status}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The system did not do what it was asked.
    #[error("{what}")]
    Io {
        /// What it was asked.
        what: String,
        #[source]
        source: io::Error,
    },
    /// The failure was printed already.
    #[error("failed")]
    Reported,
    /// Anything else, in words for the person at the terminal.
    #[error("{0}")]
    Other(String),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Names what was tried when the system refuses.
pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what: what.into(), source }
}

/// As [`io`], for something done to a path.
pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    io(format!("{what} {}", path.display()))
}

/// The error and its causes on one line.
pub(crate) fn chain(err: &dyn error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text.push_str(": ");
        text.push_str(&err.to_string());
        cause = err.source();
    }
    text
}

/// Prints a line for the person at the terminal; a closed terminal is no error.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}
pub(crate) use say;
