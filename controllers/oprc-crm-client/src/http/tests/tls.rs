//! TLS with an authority of one's own and client certificates.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// A server that takes only clients that `authority` vouches for, and is healthy.
async fn serve(authority: &Authority) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let (certificate, key) = certificate(authority);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await? == 0 {
                        return Ok(());
                    }
                }
                let body = health().to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await?;
                stream.shutdown().await
            });
        }
    });
    format!("https://localhost:{port}")
}

/// The files that the options name.
struct Files(TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn trust(&self, authority: &Authority) {
        replace(&self.path("ca"), &authority.pem());
    }

    fn identify(&self, authority: &Authority) {
        let (certificate, key) = certificate(authority);
        replace(&self.path("cert"), &certificate.pem());
        replace(&self.path("key"), &key.serialize_pem());
    }
}

/// The outcome of asking how the cluster is.
async fn ask(crm: &HttpCrm) -> &'static str {
    let result = crm.health(&caller()).await;
    result.map_or_else(|err| err.outcome(), |_| "ok")
}

#[tokio::test]
async fn trusts_and_is_trusted_by_the_files_as_they_are_now() {
    let (ours, other) = (authority(), authority());
    let endpoint = serve(&ours).await;
    let files = Files(tempfile::tempdir().unwrap());
    let crm = HttpCrm::new(CrmOptions {
        ca_cert_path: Some(files.path("ca")),
        client_cert_path: Some(files.path("cert")),
        client_key_path: Some(files.path("key")),
        ..options(&[&endpoint])
    });
    let crm = crm.unwrap();

    assert_eq!(ask(&crm).await, "unauthorized", "there are no files yet");
    replace(&files.path("ca"), "not a certificate");
    files.identify(&other);
    assert_eq!(ask(&crm).await, "unauthorized", "the authority's file is no PEM");
    files.trust(&ours);
    assert_eq!(ask(&crm).await, "unauthorized", "the server does not know our authority");
    files.identify(&ours);
    assert_eq!(ask(&crm).await, "ok", "and recovers without a restart");

    files.trust(&other);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(ask(&crm).await, "unreachable", "we do not trust the server");
}

#[tokio::test]
async fn client_without_the_certificate_that_is_asked_for_is_unauthorized() {
    let ours = authority();
    let endpoint = serve(&ours).await;
    let files = Files(tempfile::tempdir().unwrap());
    files.trust(&ours);
    let ca_cert_path = Some(files.path("ca"));
    let crm = HttpCrm::new(CrmOptions { ca_cert_path, ..options(&[&endpoint]) }).unwrap();
    assert_eq!(ask(&crm).await, "unauthorized");
}

#[test]
fn certificate_needs_its_key() {
    let client_cert_path = Some(PathBuf::from("cert"));
    let result = HttpCrm::new(CrmOptions { client_cert_path, ..options(&["https://crm"]) });
    assert!(matches!(result, Err(InvalidOptions::HalfIdentity { .. })));
    assert!(matches!(HttpCrm::new(options(&[])), Err(InvalidOptions::NoEndpoint { .. })));
}
