//! How to reach etcd.

use std::{fmt, io, sync::Arc, time::Duration};

use crate::limits::ETCD_TXN_OPS;

/// How to reach etcd, and where in it our keys are.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// Addresses of members, `http://host:port` or `https://host:port`. One is used at a time; when
    /// it fails, the next.
    pub endpoints: Vec<String>,
    /// What every key starts with, for example `/oaas/pm`; a `/` follows it.
    pub key_prefix: String,
    /// The user, where etcd asks for one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Password>,
    /// Who signed the members' certificates, PEM.
    pub ca_cert_pem: Option<String>,
    /// Our certificate, PEM.
    pub client_cert_pem: Option<String>,
    /// The key of our certificate, PEM.
    pub client_key_pem: Option<Secret>,
    /// How long a call may take, fail-over included.
    pub timeout: Duration,
    /// The most operations of one transaction that etcd takes: its `--max-txn-ops`.
    pub max_txn_ops: usize,
}

impl EtcdOptions {
    /// No user, no TLS, five seconds for a call.
    ///
    /// Why 5 s: longer than an election of etcd's (1 to 2 s), shorter than a user's patience.
    #[must_use]
    pub fn new(endpoints: Vec<String>, key_prefix: impl Into<String>) -> Self {
        Self {
            endpoints,
            key_prefix: key_prefix.into(),
            username: None,
            password: None,
            ca_cert_pem: None,
            client_cert_pem: None,
            client_key_pem: None,
            timeout: Duration::from_secs(5),
            max_txn_ops: ETCD_TXN_OPS,
        }
    }
}

/// A user's password, read anew for each connection. A password that worked before is tried again
/// where the new one is refused, so that it can be changed here first and in etcd afterwards.
#[derive(Clone)]
pub struct Password(Arc<dyn Fn() -> io::Result<Secret> + Send + Sync>);

impl Password {
    /// The password that `read` returns at that time.
    pub fn new(read: impl Fn() -> io::Result<Secret> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// A password that does not change.
    #[must_use]
    pub fn fixed(text: impl Into<String>) -> Self {
        let secret = Secret::new(text);
        Self::new(move || Ok(secret.clone()))
    }

    pub(super) fn read(&self) -> io::Result<Secret> {
        (self.0)()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of logs.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
