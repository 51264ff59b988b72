//! What a call proves itself with, and the connections made with it: token, authorities and client
//! certificate, read again when their files change.
//!
//! Invariant: files that cannot be used do not replace credentials that could be.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use oprc_observability::Report;
use reqwest::{Certificate, Client, Identity, header::HeaderValue, redirect};
use tokio::{io::AsyncReadExt as _, sync::Mutex, time::Instant};

use crate::{
    BoxError,
    options::{CrmOptions, TokenSource},
};

/// How often the files are looked at, at most.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How long a connection without a call is kept. Short, so that it is we who close it: a call on a
/// connection that the other side closes at that moment has no answer.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} holds no {what}")]
    Content { path: PathBuf, what: &'static str },
    #[error("the token holds characters that no header may")]
    Token,
    #[error("cannot make a client of the certificates")]
    Client {
        #[source]
        source: BoxError,
    },
}

/// What calls are made with until the files change.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) authorization: Option<HeaderValue>,
}

/// What tells a changed file.
type Stamp = Option<(SystemTime, u64)>;

#[derive(Debug, Default)]
struct State {
    session: Option<Arc<Session>>,
    token: Option<Stamp>,
    certificates: Option<Vec<Stamp>>,
    check_at: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Credentials {
    options: CrmOptions,
    /// Whether an endpoint needs authorities to trust: loading the platform's takes time, and a
    /// container may have none.
    is_tls: bool,
    state: Mutex<State>,
}

impl Credentials {
    pub(crate) fn new(options: CrmOptions, is_tls: bool) -> Self {
        // reqwest takes the process's default provider; an earlier one is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self { options, is_tls, state: Mutex::default() }
    }

    /// What to call with now.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, CredentialsError> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let (Some(session), Some(check_at)) = (&state.session, state.check_at)
            && now < check_at
        {
            return Ok(session.clone());
        }
        state.check_at = Some(now + CHECK_INTERVAL);
        // Taken before the files are read: one that changes meanwhile is read again next time.
        let token = stamp(self.token_path()).await;
        let mut certificates = Vec::new();
        for path in self.certificate_paths() {
            certificates.push(stamp(Some(path)).await);
        }
        let is_token_new = state.token != Some(token);
        let are_certificates_new = state.certificates.as_ref() != Some(&certificates);
        if let (Some(session), false, false) = (&state.session, is_token_new, are_certificates_new)
        {
            return Ok(session.clone());
        }
        let kept = state.session.as_ref().filter(|_| !are_certificates_new);
        match self.load(kept.map(|session| session.client.clone())).await {
            Ok(session) => {
                let session = Arc::new(session);
                state.session = Some(session.clone());
                (state.token, state.certificates) = (Some(token), Some(certificates));
                Ok(session)
            }
            Err(err) => {
                let Some(session) = &state.session else { return Err(err) };
                let cluster = self.options.cluster.as_str();
                tracing::warn!(cluster, error = %Report(&err), "new credentials are unusable");
                Ok(session.clone())
            }
        }
    }

    /// The CRM turned them down: the next call reads the files again, changed or not. A file
    /// replaced twice within the granularity of its times looks unchanged.
    pub(crate) async fn doubt(&self) {
        let mut state = self.state.lock().await;
        (state.token, state.check_at) = (None, None);
        if self.certificate_paths().next().is_some() {
            state.certificates = None;
        }
    }

    fn token_path(&self) -> Option<&Path> {
        match &self.options.token {
            TokenSource::File(path) => Some(path),
            TokenSource::None | TokenSource::Value(_) => None,
        }
    }

    fn certificate_paths(&self) -> impl Iterator<Item = &Path> {
        let CrmOptions { ca_cert_path, client_cert_path, client_key_path, .. } = &self.options;
        [ca_cert_path, client_cert_path, client_key_path].into_iter().flatten().map(|path| &**path)
    }

    async fn load(&self, client: Option<Client>) -> Result<Session, CredentialsError> {
        let authorization = match &self.options.token {
            TokenSource::None => None,
            TokenSource::Value(token) => Some(bearer(token.reveal())?),
            TokenSource::File(path) => {
                let content = read(path).await?;
                let token = std::str::from_utf8(&content).unwrap_or_default().trim();
                if token.is_empty() {
                    return Err(CredentialsError::Content { path: path.clone(), what: "token" });
                }
                Some(bearer(token)?)
            }
        };
        let client = match client {
            Some(client) => client,
            None => self.client().await?,
        };
        Ok(Session { client, authorization })
    }

    async fn client(&self) -> Result<Client, CredentialsError> {
        let options = &self.options;
        let mut builder = Client::builder()
            // The environment is not ours to read.
            .no_proxy()
            // A CRM has no reason to send us elsewhere, with our token at that.
            .redirect(redirect::Policy::none())
            .referer(false)
            // One call a connection: one that gets stuck takes no other with it, and is dropped
            // with its connection.
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(options.max_in_flight)
            .user_agent(concat!("oprc-pm/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &options.ca_cert_path {
            let what = "PEM certificate";
            let invalid = || CredentialsError::Content { path: path.clone(), what };
            let bundle = read(path).await?;
            let authorities = Certificate::from_pem_bundle(&bundle).map_err(|_| invalid())?;
            if authorities.is_empty() {
                return Err(invalid());
            }
            builder = builder.tls_certs_only(authorities);
        } else if !self.is_tls {
            builder = builder.tls_certs_only([]);
        }
        if let (Some(cert), Some(key)) = (&options.client_cert_path, &options.client_key_path) {
            let mut pem = read(cert).await?;
            pem.push(b'\n');
            pem.extend(read(key).await?);
            let identity = Identity::from_pem(&pem).map_err(client_error)?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(client_error)
    }
}

fn client_error(source: reqwest::Error) -> CredentialsError {
    CredentialsError::Client { source: source.into() }
}

fn bearer(token: &str) -> Result<HeaderValue, CredentialsError> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| CredentialsError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn stamp(path: Option<&Path>) -> Stamp {
    let metadata = tokio::fs::metadata(path?).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let read = async {
        let file = tokio::fs::File::open(path).await?;
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut content).await?;
        Ok(content)
    };
    read.await.map_err(|source| CredentialsError::Read { path: path.to_owned(), source })
}
