//! What can go wrong, what the process then exits with, and how it is told.

use std::{error::Error as StdError, io};

use oprc_client::Error as Failure;

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
    /// The command line names something that does not exist on this machine.
    #[error("{0}")]
    Unknown(String),
    /// Documents are wrong, and nothing was sent. One line for each mistake.
    #[error("{} in the documents; nothing was sent", mistakes(.0.len()))]
    Documents(Vec<String>),
    /// The server refused, is not there, or is none.
    #[error("{}", plain(&.0.to_string()))]
    Server(Failure),
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
    /// Will not be as wanted, however long one waits: a line for each thing, with the reason.
    #[error("will not converge")]
    Stuck(Vec<String>),
    /// All was told as it happened: how many failed, of how many.
    #[error("{0} of {1} failed")]
    Some(usize, usize),
    /// The answer is no; it was told.
    #[error("no")]
    No,
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
            Self::NotConverged { .. } | Self::Stuck(_) => NOT_CONVERGED,
            Self::Unknown(_)
            | Self::Documents(_)
            | Self::Server(_)
            | Self::Local { .. }
            | Self::Some(..)
            | Self::No
            | Self::Different => FAILED,
        }
    }

    /// Whether asking again later can help: the server may be restarting.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Server(failure) if failure.is_transient())
    }

    /// Whether the server says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Server(failure) if failure.is_not_found())
    }

    /// Whether the server no longer has what was asked for: the past.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Server(Failure::Refused { problem, .. }) if problem.status == 410)
    }

    /// Whether the server refused this one thing; others may go well.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Server(Failure::Refused { .. }))
    }

    /// It, and what is at its root, on one line.
    pub(crate) fn line(&self) -> String {
        format!("{self}{}", cause(self))
    }

    /// Tells a person, on several lines where that helps.
    pub(crate) fn tell(&self, err: &mut Out<'_>) {
        if matches!(self, Self::No | Self::Different) {
            return;
        }
        if let Self::Documents(mistakes) = self {
            mistakes.iter().for_each(|mistake| err.line(mistake));
        }
        err.line(&format!("{} {}", err.red("error:"), self.line()));
        match self {
            Self::Server(Failure::Refused { problem, .. }) => {
                for violation in &problem.errors {
                    let pointer =
                        if violation.pointer.is_empty() { "/" } else { &violation.pointer };
                    err.line(&format!("  {}: {}", plain(pointer), plain(&violation.message)));
                }
                match problem.status {
                    401 => err.line(
                        "  give a token with --token, OPRC_TOKEN or `oprc context set`; this one \
                         or none was not taken",
                    ),
                    403 => err.line("  `oprc auth whoami` tells who you are and your roles"),
                    _ => {}
                }
                if let Some(id) = &problem.correlation_id {
                    err.line(&format!("  correlation id: {}", plain(id)));
                }
            }
            Self::Server(Failure::Unreachable { source, .. }) => {
                if root(source).to_string().contains("certificate") {
                    err.line("  name the authority that signed the server's with --ca-cert");
                }
                err.line("  set the server with --server, OPRC_SERVER or `oprc context set`");
            }
            Self::Server(Failure::Answer { .. } | Failure::Scheme { .. }) => {
                err.line(
                    "  is that the Package Manager's URL? set it with --server, OPRC_SERVER or \
                     `oprc context set`",
                );
            }
            Self::NotConverged { pending, .. } | Self::Stuck(pending) => {
                pending.iter().for_each(|line| err.line(&format!("  {line}")));
            }
            _ => {}
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Configuration(what) => Self::Usage(what),
            Failure::Certificate { path, source } => {
                let what = format!("cannot read the CA certificate {}", path.display());
                Self::Local { what, source }
            }
            other => Self::Server(other),
        }
    }
}

fn mistakes(n: usize) -> String {
    if n == 1 { "1 mistake".to_owned() } else { format!("{n} mistakes") }
}

/// The root cause, on the same line: what lies between it and us is the HTTP library's own story.
fn cause(err: &Error) -> String {
    let source = match err {
        Error::Server(failure) => failure.source(),
        other => other.source(),
    };
    source.map(|source| format!(": {}", plain(&root(source).to_string()))).unwrap_or_default()
}

fn root<'e>(mut err: &'e (dyn StdError + 'static)) -> &'e (dyn StdError + 'static) {
    while let Some(deeper) = err.source() {
        err = deeper;
    }
    err
}

#[cfg(test)]
mod tests;
