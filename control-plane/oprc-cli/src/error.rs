//! What can go wrong, what the process then exits with, and how it is told.

use std::io;

use oprc_models::problem::Problem;

use crate::term::{Out, plain};

/// Done.
pub const DONE: u8 = 0;
/// Refused, or failed; of `diff`: there is a difference.
pub const FAILED: u8 = 1;
/// The command line makes no sense; of `diff`: any trouble, as with `diff(1)`.
pub const USAGE: u8 = 2;
/// Accepted, but not as wanted on every cluster within the time given.
pub const NOT_CONVERGED: u8 = 3;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line, or what it refers to on this machine, makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Documents are wrong, and nothing was sent. One line for each mistake.
    #[error("{} in the documents; nothing was sent", mistakes(.0.len()))]
    Documents(Vec<String>),
    /// The server refused `subject`.
    #[error("{subject}: {}", summary(.problem))]
    Refused {
        /// What it was about, for example `package/shop`.
        subject: String,
        /// Why.
        problem: Box<Problem>,
    },
    /// No connection to the server: nothing was sent.
    #[error("no connection to the server {server}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke or the answer did not come in time. A write may have landed.
    #[error("the server {server} did not answer")]
    Unanswered {
        /// Its URL.
        server: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// What answered does not speak as a Package Manager does.
    #[error("the server {server} gave an answer that cannot be understood: {what}")]
    Answer {
        /// Its URL.
        server: String,
        /// What is odd about it.
        what: String,
    },
    /// Something on this machine failed.
    #[error("{what}")]
    Local {
        /// What failed, with its file.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not as wanted within the time given: a line for each thing that is not.
    #[error("not converged in {waited}")]
    NotConverged {
        /// The time given.
        waited: String,
        /// What is not as wanted, and why.
        pending: Vec<String>,
    },
    /// All was told as it happened: how many failed, of how many.
    #[error("{0} of {1} failed")]
    Some(usize, usize),
    /// There is a difference; it was shown.
    #[error("there is a difference")]
    Different,
}

impl Error {
    /// A usage mistake.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// What the process exits with.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::NotConverged { .. } => NOT_CONVERGED,
            Self::Documents(_)
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Unanswered { .. }
            | Self::Answer { .. }
            | Self::Local { .. }
            | Self::Some(..)
            | Self::Different => FAILED,
        }
    }

    /// Whether asking again later can help: the server may be restarting.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unanswered { .. } => true,
            Self::Refused { problem, .. } => matches!(problem.status, 429 | 502..=504),
            _ => false,
        }
    }

    /// Whether the server says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.status == 404)
    }

    /// Tells a person, on several lines where that helps.
    pub(crate) fn tell(&self, err: &mut Out<'_>) {
        if matches!(self, Self::Different) {
            return;
        }
        if let Self::Documents(mistakes) = self {
            mistakes.iter().for_each(|mistake| err.line(mistake));
        }
        err.line(&format!("{} {self}{}", err.red("error:"), cause(self)));
        match self {
            Self::Refused { problem, .. } => {
                for violation in &problem.errors {
                    let pointer =
                        if violation.pointer.is_empty() { "/" } else { &violation.pointer };
                    err.line(&format!("  {}: {}", plain(pointer), plain(&violation.message)));
                }
                if let Some(id) = &problem.correlation_id {
                    err.line(&format!("  correlation id: {}", plain(id)));
                }
            }
            Self::Unreachable { .. } => {
                err.line("  set the server with --server, OPRC_SERVER or `oprc context set`");
            }
            Self::NotConverged { pending, .. } => {
                pending.iter().for_each(|line| err.line(&format!("  {line}")));
            }
            _ => {}
        }
    }
}

fn mistakes(n: usize) -> String {
    if n == 1 { "1 mistake".to_owned() } else { format!("{n} mistakes") }
}

/// The problem in one line: what it is about, its status and its code.
fn summary(problem: &Problem) -> String {
    let text = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    let text = if text.is_empty() { "refused" } else { text };
    let code = if problem.code.is_empty() { String::new() } else { format!(", {}", problem.code) };
    plain(&format!("{text} ({}{code})", problem.status)).into_owned()
}

/// The root cause, on the same line: what lies between it and us is the HTTP library's own story.
fn cause(err: &Error) -> String {
    let mut root = std::error::Error::source(err);
    while let Some(deeper) = root.and_then(std::error::Error::source) {
        root = Some(deeper);
    }
    root.map(|root| format!(": {}", plain(&root.to_string()))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
