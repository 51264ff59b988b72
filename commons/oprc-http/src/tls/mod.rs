//! TLS of the server, and its files, read again when they change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use oprc_config::crm::ServerTls;
use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Between two looks at the files. A certificate is replaced days before it expires.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

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
pub(crate) struct Tls {
    files: ServerTls,
    current: RwLock<(Contents, Arc<ServerConfig>)>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: ServerTls) -> Result<Self, TlsError> {
        let contents = read(&files)?;
        let config = configure(&files, &contents)?;
        Ok(Self { files, current: RwLock::new((contents, config)) })
    }

    /// What accepts a connection now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().1))
    }

    /// Reads the files again; says whether they have changed.
    fn refresh(&self) -> Result<bool, TlsError> {
        let contents = read(&self.files)?;
        if contents == self.current.read().0 {
            return Ok(false);
        }
        let config = configure(&self.files, &contents)?;
        *self.current.write() = (contents, config);
        Ok(true)
    }
}

/// Reads the files again and again until `stop`. While they cannot be used the last ones stay.
pub(crate) async fn run(tls: Arc<Tls>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(REFRESH_INTERVAL)).await.is_some() {
        let refreshing = Arc::clone(&tls);
        match spawn_blocking(move || refreshing.refresh()).await {
            Ok(Ok(true)) => tracing::info!("the certificates have changed"),
            Ok(Ok(false)) => {}
            Ok(Err(err)) => {
                let error = oprc_observability::Report(&err);
                tracing::warn!(%error, "the certificates cannot be read; the last ones stay");
            }
            Err(err) => tracing::warn!(error = %err, "the certificates cannot be read"),
        }
    }
}

fn read(files: &ServerTls) -> Result<Contents, TlsError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source })
    };
    Ok(Contents {
        cert: read(&files.cert_path)?,
        key: read(&files.key_path)?,
        client_ca: files.client_ca_path.as_ref().map(read).transpose()?,
    })
}

fn configure(files: &ServerTls, contents: &Contents) -> Result<Arc<ServerConfig>, TlsError> {
    let certs = certificates(&files.cert_path, &contents.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|source| TlsError::Pem { path: files.key_path.clone(), source })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match (&files.client_ca_path, &contents.client_ca) {
        (Some(path), Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, pem)? {
                roots.add(certificate)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
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
