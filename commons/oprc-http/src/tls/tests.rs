//! A server over TLS on a real socket, and clients of every kind.

use std::{fs, net::SocketAddr, sync::Arc};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    routing::get,
};
use futures::stream;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivatePkcs8KeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{Connection, serve};

/// How long a state is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
struct Identity {
    cert: rcgen::Certificate,
    key: KeyPair,
}

fn identity(authority: &Authority, common_name: &str) -> Identity {
    identity_until(authority, common_name, u32::MAX.into())
}

/// As [`identity`], valid until `end`, in seconds since 1970.
fn identity_until(authority: &Authority, common_name: &str, end: u64) -> Identity {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
    let key = KeyPair::generate().unwrap();
    Identity { cert: params.signed_by(&key, authority).unwrap(), key }
}

/// A server whose answers are the subject of who asks, and the files of its certificates.
struct Server {
    addr: SocketAddr,
    tls: Arc<Tls>,
    authority: Authority,
    client_authority: Authority,
    folder: TempDir,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn write(folder: &TempDir, name: &str, pem: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, pem).unwrap();
    path
}

impl Server {
    async fn start(clients: fn(PathBuf) -> Clients) -> Self {
        let folder = TempDir::new().unwrap();
        let (authority, client_authority) = (authority(), authority());
        let identity = identity(&authority, "server");
        let files = Files {
            cert_path: write(&folder, "cert", &identity.cert.pem()),
            key_path: write(&folder, "key", &identity.key.serialize_pem()),
            clients: clients(write(&folder, "ca", &client_authority.pem())),
        };
        let tls = Arc::new(Tls::load(files).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let whoami = |Extension(connection): Extension<Connection>| async move {
            connection.certificate_subject.as_deref().unwrap_or("nobody").to_owned()
        };
        let endless = || async { Body::from_stream(stream::pending::<io::Result<Bytes>>()) };
        let router = Router::new().route("/", get(whoami)).route("/watch", get(endless));
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, Some(Arc::clone(&tls)), router, PATIENCE, stop.clone()));
        Self { addr, tls, authority, client_authority, folder, stop }
    }

    async fn connect(&self, client: Option<&Identity>) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some(client) => {
                let key = PrivatePkcs8KeyDer::from(client.key.serialize_der());
                builder.with_client_auth_cert(vec![client.cert.der().clone()], key.into()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.addr).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Whom the server takes `client` for; an error when it does not answer.
    async fn whoami(&self, client: Option<&Identity>) -> io::Result<String> {
        ask(&mut self.connect(client).await?).await
    }

    /// The certificate that it shows now.
    async fn shown(&self) -> Vec<u8> {
        let stream = self.connect(None).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

/// Sends one request, and reads its answer's body.
async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    let mut answer = String::new();
    let mut length = None;
    while length.is_none_or(|length| answer.len() < length) {
        let mut buffer = [0; 1024];
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap()?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        length = answer.find("\r\n\r\n").map(|end| {
            let head = answer[..end].to_ascii_lowercase();
            let told = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            end + 4 + told.unwrap().parse::<usize>().unwrap()
        });
    }
    Ok(answer.rsplit("\r\n\r\n").next().unwrap().to_owned())
}

#[tokio::test]
async fn client_certificates() {
    let required = Server::start(Clients::Required).await;
    let optional = Server::start(Clients::Optional).await;
    let anonymous = Server::start(|_| Clients::Anonymous).await;
    for server in [&required, &optional, &anonymous] {
        let right = identity(&server.client_authority, "alice");
        let wrong = identity(&authority(), "alice");
        let told = server.whoami(Some(&right)).await.ok();
        let (want_right, want_wrong, want_none) = match server.tls.files.clients {
            Clients::Required(_) => (Some("alice"), None, None),
            Clients::Optional(_) => (Some("alice"), None, Some("nobody")),
            Clients::Anonymous => (Some("nobody"), Some("nobody"), Some("nobody")),
        };
        assert_eq!(told.as_deref(), want_right);
        assert_eq!(server.whoami(Some(&wrong)).await.ok().as_deref(), want_wrong);
        assert_eq!(server.whoami(None).await.ok().as_deref(), want_none);
    }
}

/// Waits until the server has ended a connection on which an answer without end is under way.
async fn is_ended(mut stream: TlsStream<TcpStream>) {
    let ended = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} };
    timeout(PATIENCE, ended).await.expect("it is ended");
}

async fn watch(server: &Server, client: &Identity) -> TlsStream<TcpStream> {
    let mut stream = server.connect(Some(client)).await.unwrap();
    stream.write_all(b"GET /watch HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let n = timeout(PATIENCE, stream.read(&mut [0; 1024])).await.unwrap().unwrap();
    assert!(n > 0, "it has begun");
    stream
}

/// An open connection is worth no more than a new one: not for requests, and not for what is under
/// way.
#[tokio::test]
async fn an_expired_client_certificate_counts_no_more_on_open_connections() {
    let check = async |clients: fn(PathBuf) -> Clients| {
        let server = Server::start(clients).await;
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let (short, long) = (
            // Long enough for a busy machine to get that far.
            identity_until(&server.client_authority, "alice", now + 20),
            identity(&server.client_authority, "bob"),
        );
        let mut open = server.connect(Some(&short)).await.unwrap();
        assert_eq!(ask(&mut open).await.unwrap(), "alice");
        let watching = watch(&server, &short).await;
        let mut good = server.connect(Some(&long)).await.unwrap();
        is_ended(watching).await;
        assert!(ask(&mut open).await.is_err(), "its certificate has expired");
        assert!(server.whoami(Some(&short)).await.is_err());
        assert_eq!(ask(&mut good).await.unwrap(), "bob");
    };
    tokio::join!(check(Clients::Required), check(Clients::Optional));
}

#[tokio::test]
async fn a_removed_authority_counts_no_more_on_open_connections() {
    let server = Server::start(Clients::Required).await;
    let alice = identity(&server.client_authority, "alice");
    let mut open = server.connect(Some(&alice)).await.unwrap();
    assert_eq!(ask(&mut open).await.unwrap(), "alice");
    let watching = watch(&server, &alice).await;
    write(&server.folder, "ca", &authority().pem());
    assert!(server.tls.refresh().unwrap());
    assert!(ask(&mut open).await.is_err(), "its authority is not trusted any more");
    is_ended(watching).await;
}

#[tokio::test]
async fn certificates_are_replaced_under_connections() {
    let server = Server::start(|_| Clients::Anonymous).await;
    let keeping = tokio::spawn(Arc::clone(&server.tls).keep_fresh(server.stop.clone()));
    let mut open = server.connect(None).await.unwrap();
    assert_eq!(ask(&mut open).await.unwrap(), "nobody");
    let before = server.shown().await;

    // Half of a replacement: the old one stays, and is served.
    let next = identity(&server.authority, "next");
    write(&server.folder, "cert", &next.cert.pem());
    assert!(server.tls.refresh().is_err(), "a key of another certificate");
    assert_eq!(server.shown().await, before);

    write(&server.folder, "key", &next.key.serialize_pem());
    let replaced = async {
        while server.shown().await == before {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, replaced).await.unwrap();
    assert_eq!(server.shown().await, next.cert.der().to_vec());
    assert_eq!(ask(&mut open).await.unwrap(), "nobody", "the open connection goes on");
    server.stop.cancel();
    keeping.await.unwrap();
}

/// A greeting of a client that knows no version after `version`, and is acceptable otherwise.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    // No session; ECDHE-ECDSA with AES-128 and SHA-256; no compression.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions = [
        // Groups: X25519 and P-256. Points: uncompressed. Signatures: ECDSA with P-256 and SHA-256.
        [0, 10, 0, 6, 0, 4, 0, 29, 0, 23].as_slice(),
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ]
    .concat();
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    hello
}

#[tokio::test]
async fn old_versions_are_refused() {
    let server = Server::start(|_| Clients::Anonymous).await;
    for (version, want) in [
        // Alerts: fatal, protocol version.
        ([3, 0], [21, 2, 70]),
        ([3, 1], [21, 2, 70]),
        ([3, 2], [21, 2, 70]),
        // The same of TLS 1.2 is answered with a handshake: a hello of 16-bit length 0.
        ([3, 3], [22, 2, 0]),
    ] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&client_hello(version)).await.unwrap();
        let mut answer = [0; 7];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!([answer[0], answer[5], answer[6]], want, "{version:?}");
    }
}

#[tokio::test]
async fn plain_http_is_told_what_is_spoken_here() {
    let server = Server::start(|_| Clients::Anonymous).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    assert!(body.contains("https"), "{answer}");
}

#[tokio::test]
async fn silent_clients_are_not_waited_for() {
    let server = Server::start(|_| Clients::Anonymous).await;
    let silent = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(server.whoami(None).await.unwrap(), "nobody");
    // It is let go of when its handshake has taken too long.
    let mut buffer = [0; 1];
    let ended =
        timeout(PATIENCE, async { silent.readable().await.map(|()| silent.try_read(&mut buffer)) });
    assert!(matches!(ended.await.unwrap().unwrap(), Ok(0) | Err(_)));
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be() {
    let server = Server::start(|_| Clients::Anonymous).await;
    let good = server.tls.files.clone();
    let missing = server.folder.path().join("missing");
    for (files, want) in [
        (Files { key_path: good.cert_path.clone(), ..good.clone() }, "is not a PEM file"),
        (Files { cert_path: missing, ..good.clone() }, "cannot be read"),
        (Files { cert_path: good.key_path.clone(), ..good.clone() }, "cannot be used"),
        (
            Files { clients: Clients::Required(good.key_path.clone()), ..good },
            "the authorities of client certificates cannot be used",
        ),
    ] {
        let error = Tls::load(files).err().unwrap().to_string();
        assert!(error.contains(want), "{error}");
    }
}
