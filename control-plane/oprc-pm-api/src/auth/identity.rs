//! Who calls.

use std::sync::Arc;

use oprc_models::role::SubjectKind;

/// How a caller showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// Not at all: nobody has to.
    Anonymous,
    /// By a bearer token.
    Token,
    /// By the certificate of the connection.
    Certificate,
}

impl Means {
    /// The kind that role bindings may ask for.
    pub(crate) fn subject_kind(self) -> Option<SubjectKind> {
        match self {
            Self::Anonymous => None,
            Self::Token => Some(SubjectKind::Token),
            Self::Certificate => Some(SubjectKind::Certificate),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) subject: Arc<str>,
    pub(crate) groups: Arc<[Box<str>]>,
    pub(crate) means: Means,
    /// When a token says no more who calls, in seconds since 1970; and the version of the keys
    /// that it was checked with.
    pub(crate) until: Option<(i64, u64)>,
}

impl Identity {
    /// A caller who did not have to say who they are.
    pub(crate) fn anonymous() -> Self {
        Self {
            subject: "anonymous".into(),
            groups: Arc::default(),
            means: Means::Anonymous,
            until: None,
        }
    }
}
