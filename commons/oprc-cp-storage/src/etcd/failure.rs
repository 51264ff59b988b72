//! What an error of the etcd client means: was it done, and is another member worth asking?

use std::error::Error as _;

use etcd_client::Error as ClientError;
use tonic::{Code, ConnectError, Status};

use crate::{BoxError, Error, LeaseId, Revision};

/// Why a call has no answer that it could give to its caller.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request never left: there was no connection.
    NotSent(BoxError),
    /// A member answered that it did nothing, for a reason that passes.
    NotDone(BoxError),
    /// As `NotDone`, and the token is to blame.
    TokenStale(BoxError),
    /// The credentials were refused, or do not permit it: nothing was done. A new connection may have
    /// newer ones.
    Unauthorized(String),
    /// Nobody knows whether it was done.
    Unknown(BoxError),
    /// The answer does not fit into a message; a smaller page may.
    TooLarge(BoxError),
    /// The store's last word.
    Final(Error),
}

impl Failure {
    /// What to tell the caller of a call that may be repeated without harm.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Final(err) => err,
            Self::Unauthorized(reason) => Error::Unauthorized { reason },
            Self::TokenStale(source) => Error::Unauthorized { reason: source.to_string() },
            Self::NotSent(source)
            | Self::NotDone(source)
            | Self::Unknown(source)
            | Self::TooLarge(source) => Error::Unavailable { source },
        }
    }

    /// What to tell the caller of a write.
    pub(super) fn into_write_error(self) -> Error {
        match self {
            Self::Unknown(source) | Self::TooLarge(source) => Error::MaybeDone { source },
            Self::Final(_)
            | Self::NotSent(_)
            | Self::NotDone(_)
            | Self::TokenStale(_)
            | Self::Unauthorized(_) => self.into_error(),
        }
    }

    /// `true` if the store answered, and would answer the same call in the same way.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Final(_) | Self::Unauthorized(_))
    }

    pub(super) fn timeout() -> Self {
        Self::Unknown("no answer in time".into())
    }

    /// Reads the meaning off `err`. `about` completes the errors that name what was asked.
    pub(super) fn of(err: ClientError, about: About) -> Self {
        match err {
            ClientError::GRpcStatus(status) => Self::of_status(status, about),
            // The client's word for a keep-alive that was answered with no time to live.
            ClientError::LeaseKeepAliveError(_) => Self::Final(Error::LeaseGone(about.lease)),
            ClientError::InvalidArgs(_)
            | ClientError::InvalidUri(_)
            | ClientError::InvalidMetadataValue(_)
            | ClientError::Utf8Error(_)
            | ClientError::EndpointsNotManaged => {
                Self::Final(Error::Refused { reason: err.to_string() })
            }
            ClientError::IoError(_)
            | ClientError::TransportError(_)
            | ClientError::EndpointError(_) => Self::NotSent(err.into()),
            ClientError::WatchError(_) | ClientError::ElectError(_) | ClientError::Internal(_) => {
                Self::Unknown(err.into())
            }
        }
    }

    fn of_status(status: Status, about: About) -> Self {
        if is_connect_error(&status) {
            return Self::NotSent(status.into());
        }
        let message = status.message();
        let says = |what: &str| message.contains(what);
        if says("required revision has been compacted") || says("is a future revision") {
            return Self::Final(Error::Compacted { asked: about.revision });
        }
        if says("requested lease not found") {
            return Self::Final(Error::LeaseGone(about.lease));
        }
        if says("database space exceeded") {
            return Self::Final(Error::Full { source: status.into() });
        }
        if says("decoded message length too large") {
            return Self::TooLarge(status.into());
        }
        if says("invalid auth token") || says("revision of auth store is old") {
            return Self::TokenStale(status.into());
        }
        if says("user name is empty")
            || says("authentication failed")
            // The client has tried to renew its token at an etcd whose authentication was switched off.
            || says("authentication is not enabled")
            || matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
        {
            return Self::Unauthorized(message.to_owned());
        }
        let is_passing = ["no leader", "too many requests", "not capable", "learner"];
        if is_passing.iter().any(|what| says(&format!("etcdserver: {what}"))) {
            return Self::NotDone(status.into());
        }
        match status.code() {
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
            | Code::Unimplemented
            | Code::ResourceExhausted => Self::Final(Error::Refused { reason: message.to_owned() }),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => Self::Unknown(status.into()),
        }
    }
}

/// What a call was about, for the errors that say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) revision: Revision,
    pub(super) lease: LeaseId,
}

impl About {
    pub(super) const NOTHING: Self = Self { revision: Revision(0), lease: LeaseId(0) };

    pub(super) fn lease(lease: LeaseId) -> Self {
        Self { lease, ..Self::NOTHING }
    }

    pub(super) fn revision(revision: Revision) -> Self {
        Self { revision, ..Self::NOTHING }
    }
}

/// Whether the connection could not be made, so that nothing can have been sent on it.
fn is_connect_error(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(err) = source {
        if err.is::<ConnectError>() {
            return true;
        }
        source = err.source();
    }
    false
}
