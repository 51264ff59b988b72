//! TLS of a server, and its files, read again when they change.
//!
//! Versions 1.2 and 1.3, since the library has no older one. Certificates are replaced while it
//! serves: connections that are open keep the server's certificate that they were opened with. The
//! client's is judged again, see [`client`].
//!
//! Invariant: while the files cannot be used (half written, a key of another certificate) what was
//! last good stays.

pub mod client;
pub mod subject;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oprc_observability::Report;
use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Between two looks at the files. They are read, not watched: a mounted secret is replaced by
/// turning a link, which a watch of the file does not see.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// Where the certificates of a server are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM file of the certificate, followed by its chain.
    pub cert_path: PathBuf,
    /// PEM file of its private key.
    pub key_path: PathBuf,
    /// What clients show of themselves.
    pub clients: Clients,
}

/// What clients show of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Nothing.
    Anonymous,
    /// A certificate of one of the authorities in this PEM file, or none.
    Optional(PathBuf),
    /// A certificate of one of the authorities in this PEM file.
    Required(PathBuf),
}

impl Clients {
    fn ca_path(&self) -> Option<&PathBuf> {
        match self {
            Self::Anonymous => None,
            Self::Optional(path) | Self::Required(path) => Some(path),
        }
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is not a PEM file of certificates or of a key", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("certificate and key cannot be used")]
    Rustls(#[from] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("the authorities of client certificates cannot be used")]
    Authorities(#[from] VerifierBuilderError),
}

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// TLS as the files have it now.
pub struct Tls {
    files: Files,
    current: RwLock<Current>,
    /// Number of times that the files have changed.
    generation: AtomicU64,
}

/// What the files hold, ready for use.
struct Current {
    contents: Contents,
    config: Arc<ServerConfig>,
    /// Verifies the certificates of clients; `None`: they show none.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Current {
    fn new(files: &Files, contents: Contents) -> Result<Self, TlsError> {
        let verifier = verifier(files, &contents)?;
        let config = configure(files, &contents, verifier.clone())?;
        Ok(Self { contents, config, verifier })
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let contents = read(&files)?;
        let current = RwLock::new(Current::new(&files, contents)?);
        Ok(Self { files, current, generation: AtomicU64::new(0) })
    }

    /// What accepts a connection now.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().config))
    }

    /// Reads the files again; says whether they have changed.
    fn refresh(&self) -> Result<bool, TlsError> {
        let contents = read(&self.files)?;
        if contents == self.current.read().contents {
            return Ok(false);
        }
        let current = Current::new(&self.files, contents)?;
        *self.current.write() = current;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// Reads the files again and again until `stop`.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let mut was_usable = true;
        while stop.run_until_cancelled(sleep(REFRESH_INTERVAL)).await.is_some() {
            let refreshing = Arc::clone(&self);
            match spawn_blocking(move || refreshing.refresh()).await {
                Ok(Ok(has_changed)) => {
                    if has_changed || !was_usable {
                        tracing::info!("the certificates have been read again");
                    }
                    was_usable = true;
                }
                Ok(Err(err)) => {
                    if was_usable {
                        let error = Report(&err);
                        tracing::warn!(%error, "the certificates cannot be used; the last stay");
                    }
                    was_usable = false;
                }
                Err(err) => tracing::warn!(error = %err, "the certificates cannot be read"),
            }
        }
    }
}

fn read(files: &Files) -> Result<Contents, TlsError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source })
    };
    Ok(Contents {
        cert: read(&files.cert_path)?,
        key: read(&files.key_path)?,
        client_ca: files.clients.ca_path().map(read).transpose()?,
    })
}

fn verifier(
    files: &Files,
    contents: &Contents,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let (Some(path), Some(pem)) = (files.clients.ca_path(), &contents.client_ca) else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate)?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match files.clients {
        Clients::Optional(_) => verifier.allow_unauthenticated(),
        Clients::Required(_) | Clients::Anonymous => verifier,
    };
    Ok(Some(verifier.build()?))
}

fn configure(
    files: &Files,
    contents: &Contents,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let certs = certificates(&files.cert_path, &contents.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|source| TlsError::Pem { path: files.key_path.clone(), source })?;
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(certs, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests;
