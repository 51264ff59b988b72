//! Why a call did not do what it was asked.

use std::{io, path::PathBuf};

use oprc_models::problem::Problem;

/// Why a call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint makes no sense: a wrong URL, token or certificate. Nothing was sent.
    #[error("{0}")]
    Configuration(String),
    /// The file with the authorities to trust cannot be read. Nothing was sent.
    #[error("cannot read the CA certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server refused. It has written nothing, except where the problem's code says otherwise.
    #[error("{subject}: {} ({}{})", reason(.problem), .problem.status, code(.problem))]
    Refused {
        /// What it was about, for example `package/shop`.
        subject: String,
        /// Why; its `code` is to branch on.
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
    /// The connection broke or the answer did not come in time. A write may have landed; making it
    /// again is safe.
    #[error("the server {server} did not answer")]
    Unanswered {
        /// Its URL.
        server: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The URL has the wrong scheme: `https` for a server without TLS, or the reverse. Nothing was
    /// done.
    #[error("the server {server} {}: try {other}", scheme(.server))]
    Scheme {
        /// Its URL.
        server: String,
        /// The URL with the other scheme.
        other: String,
    },
    /// What answered does not speak as a Package Manager does.
    #[error("the server {server} gave an answer that cannot be understood: {what}")]
    Answer {
        /// Its URL.
        server: String,
        /// What is odd about it.
        what: String,
    },
}

impl Error {
    pub(crate) fn configuration(what: impl Into<String>) -> Self {
        Self::Configuration(what.into())
    }

    /// What the server said, where it refused.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            Self::Configuration(_)
            | Self::Certificate { .. }
            | Self::Unreachable { .. }
            | Self::Unanswered { .. }
            | Self::Scheme { .. }
            | Self::Answer { .. } => None,
        }
    }

    /// Whether the server says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.problem().is_some_and(|problem| problem.status == 404)
    }

    /// Whether the server may answer later: it is away, busy, or without its store.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unanswered { .. } => true,
            Self::Refused { problem, .. } => matches!(problem.status, 429 | 502..=504),
            Self::Configuration(_)
            | Self::Certificate { .. }
            | Self::Scheme { .. }
            | Self::Answer { .. } => false,
        }
    }
}

fn scheme(server: &str) -> &'static str {
    if server.starts_with("https:") { "does not speak TLS" } else { "speaks TLS alone" }
}

fn reason(problem: &Problem) -> &str {
    let text = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    if text.is_empty() { "refused" } else { text }
}

fn code(problem: &Problem) -> String {
    if problem.code.is_empty() { String::new() } else { format!(", {}", problem.code) }
}
