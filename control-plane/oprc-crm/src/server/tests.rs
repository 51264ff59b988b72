use std::{fs, sync::Arc, time::Duration};

use oprc_config::{Credential, crm::ServerTls};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{tls::Tls, token::Tokens};

#[tokio::test]
async fn a_token_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let tokens = Arc::new(Tokens::load(Credential::File(path.clone())).unwrap());
    assert!(tokens.accept("first") && !tokens.accept("first\n") && !tokens.accept(""));
    let stop = CancellationToken::new();
    let running = tokio::spawn(super::token::run(Arc::clone(&tokens), stop.clone()));
    fs::write(&path, "second").unwrap();
    let accepted = async {
        while !tokens.accept("second") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), accepted).await.unwrap();
    assert!(!tokens.accept("first"));
    stop.cancel();
    running.await.unwrap();
}

/// A certificate of its own authority.
struct Identity {
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
}

fn identity() -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    Identity { cert: params.self_signed(&key).unwrap(), key }
}

/// Whether a client that trusts `server`, and shows `client`, gets an answer.
async fn is_answered(tls: &Arc<Tls>, server: &Identity, client: Option<&Identity>) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = tls.acceptor();
    let answering = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        acceptor.accept(stream).await?.write_all(b"hello").await
    });
    let mut roots = RootCertStore::empty();
    roots.add(server.cert.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some(client) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client.key.serialize_der()));
            builder.with_client_auth_cert(vec![client.cert.der().clone()], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let is_read = match connected {
        Ok(mut stream) => stream.read_exact(&mut [0; 5]).await.is_ok(),
        Err(_) => false,
    };
    is_read && answering.await.unwrap().is_ok()
}

#[tokio::test]
async fn tls_wants_the_client_certificate_that_it_was_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (server, client, stranger) = (identity(), identity(), identity());
    let write = |name: &str, pem: String| {
        let path = dir.path().join(name);
        fs::write(&path, pem).unwrap();
        path
    };
    let files = ServerTls {
        cert_path: write("cert", server.cert.pem()),
        key_path: write("key", server.key.serialize_pem()),
        client_ca_path: None,
    };
    let open = Arc::new(Tls::load(files.clone()).unwrap());
    assert!(is_answered(&open, &server, None).await);
    assert!(!is_answered(&open, &stranger, None).await, "the client trusts another");

    let client_ca_path = Some(write("client_ca", client.cert.pem()));
    let closed = Arc::new(Tls::load(ServerTls { client_ca_path, ..files.clone() }).unwrap());
    assert!(is_answered(&closed, &server, Some(&client)).await);
    assert!(!is_answered(&closed, &server, Some(&stranger)).await);
    assert!(!is_answered(&closed, &server, None).await);

    let not_a_key = ServerTls { key_path: files.cert_path.clone(), ..files };
    assert!(Tls::load(not_a_key).is_err());
}
