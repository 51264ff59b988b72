//! Sources that fail, and the keys of the others.

use std::{fs, path::Path, time::Duration};

use oprc_config::{Credential, Endpoint, pm::JwksUrl};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt as _, net::TcpListener, sync::oneshot, task::AbortHandle, time::sleep,
};

use super::*;

const ED25519: &[u8] = include_bytes!("../../../oprc-pm-api/src/auth/testdata/ed25519.pem");
const P256: &[u8] = include_bytes!("../../../oprc-pm-api/src/auth/testdata/p256.pem");

fn jwt(folder: &Path) -> Jwt {
    let secret = folder.join("secret");
    fs::write(&secret, [b's'; 32]).unwrap();
    fs::write(folder.join("a.pem"), ED25519).unwrap();
    Jwt {
        secret: Some(Credential::File(secret)),
        public_key_files: vec![folder.join("a.pem")],
        jwks_file: None,
        jwks_url: None,
        issuer: "issuer".to_owned(),
        audience: "audience".to_owned(),
        leeway: Duration::ZERO,
        subject_claim: "sub".to_owned(),
        groups_claim: "groups".to_owned(),
        admins: Vec::new(),
        admin_groups: Vec::new(),
        has_open_metrics: false,
    }
}

/// A ring that is kept up to date until dropped.
struct Kept(Arc<KeyRing>, AbortHandle);

impl Kept {
    fn new(jwt: &Jwt) -> Self {
        let sources = Sources::new(jwt).unwrap();
        let ring = sources.ring();
        Self(ring, tokio::spawn(sources.keep()).abort_handle())
    }

    async fn has(&self, want: &[&str]) {
        let names = || self.0.algorithms().iter().map(|one| one.as_str()).collect::<Vec<_>>();
        for _ in 0..1_000 {
            if names() == want {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?}, not {want:?}", names());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.1.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_file_that_is_gone_has_no_keys() {
    let folder = TempDir::new().unwrap();
    let kept = Kept::new(&jwt(folder.path()));
    kept.has(&["HS256", "EdDSA"]).await;
    fs::remove_file(folder.path().join("a.pem")).unwrap();
    kept.has(&["HS256"]).await;
    fs::remove_file(folder.path().join("secret")).unwrap();
    kept.has(&[]).await;
    fs::write(folder.path().join("a.pem"), P256).unwrap();
    kept.has(&["ES256"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_source_keeps_nothing_of_the_others_back() {
    let folder = TempDir::new().unwrap();
    let kept = Kept::new(&jwt(folder.path()));
    kept.has(&["HS256", "EdDSA"]).await;
    // Half written: what it had stays, and the other file changes all the same.
    fs::write(folder.path().join("secret"), "short").unwrap();
    fs::write(folder.path().join("a.pem"), P256).unwrap();
    kept.has(&["HS256", "ES256"]).await;
    fs::remove_file(folder.path().join("a.pem")).unwrap();
    kept.has(&["HS256"]).await;
}

/// A set without keys withdraws those that it had.
#[tokio::test(start_paused = true)]
async fn an_emptied_key_set_has_no_keys() {
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("set.json");
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}"#;
    fs::write(&set, format!(r#"{{"keys":[{key}]}}"#)).unwrap();
    let jwt = Jwt { jwks_file: Some(set.clone()), ..jwt(folder.path()) };
    let kept = Kept::new(&jwt);
    kept.has(&["HS256", "EdDSA", "EdDSA"]).await;
    fs::write(&set, r#"{"keys":[]}"#).unwrap();
    kept.has(&["HS256", "EdDSA"]).await;
}

/// The URL is still being waited for when the change of a file counts.
#[tokio::test]
async fn a_silent_url_delays_no_file() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let (asked, is_asked) = oneshot::channel();
    let (given_up, mut is_given_up) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked.send(()).unwrap();
        let mut request = Vec::new();
        // Ends when the client gives up.
        let _ = stream.read_to_end(&mut request).await;
        let _ = given_up.send(());
    });
    let folder = TempDir::new().unwrap();
    let url: Endpoint = url.parse().unwrap();
    let jwks_url = JwksUrl { url, ca_cert_path: None, refresh: Duration::from_secs(300) };
    let kept = Kept::new(&Jwt { jwks_url: Some(jwks_url), ..jwt(folder.path()) });
    is_asked.await.unwrap();
    fs::write(folder.path().join("a.pem"), P256).unwrap();
    kept.has(&["HS256", "ES256"]).await;
    assert!(is_given_up.try_recv().is_err(), "the file was looked at after the URL alone");
}
