//! The door: tokens, roles, keys that rotate, and a server that does not start open by mistake.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answer, Api, Backend, PATIENCE, Process, World, check_problem, eventually, run, world::package,
};

const ISSUER: &str = "https://id.example.org";

/// A token, valid for an hour, signed by `sign`.
fn token(
    header: &Value,
    subject: &str,
    groups: &[&str],
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": ISSUER, "aud": "oprc-pm", "sub": subject, "groups": groups, "exp": now + 3600,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn by_secret(secret: &str, subject: &str, groups: &[&str]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    token(&json!({"alg": "HS256"}), subject, groups, |message| {
        hmac::sign(&key, message).as_ref().to_vec()
    })
}

async fn send(api: &Api, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
    let request = api.request(method, path).bearer_auth(token);
    Api::send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

async fn status(api: &Api, token: &str) -> u16 {
    send(api, Method::GET, "/api/v1/packages", token, None).await.status.as_u16()
}

/// A world whose Package Managers take tokens of `settings`.
async fn locked(backend: Backend, settings: &[(&str, &str)]) -> World {
    let mut world = World::without_pm(backend, &[]).await;
    world.set("OPRC_PM_AUTH_MODE", "jwt");
    world.set("OPRC_PM_AUTH_ISSUER", ISSUER);
    world.set("OPRC_PM_AUTH_ADMINS", "root");
    for (name, value) in settings {
        world.set(name, value);
    }
    world
}

const SECRETS: [&str; 2] =
    ["an old secret of more than thirty-two bytes", "a new secret of more than thirty-two bytes"];

#[tokio::test]
async fn the_command_line_shows_its_token_and_a_secret_rotates() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, SECRETS[0]).unwrap();
    let setting = [("OPRC_PM_AUTH_JWT_SECRET_FILE", file.to_str().unwrap())];
    let mut world = locked(Backend::Embedded, &setting).await;
    world.add_pm().await;
    let api = world.api();
    let [root, ada] = [("root", &[][..]), ("ada", &["shop"])]
        .map(|(who, groups)| by_secret(SECRETS[0], who, groups));

    check_problem(&api.get("/api/v1/packages").await, 401, "unauthenticated");
    api.is_ok("/livez").await.unwrap();
    check_problem(
        &send(api, Method::PUT, "/api/v1/packages/shop", &ada, Some(&package("1"))).await,
        403,
        "forbidden",
    );
    let binding =
        json!({"name": "shop", "role": "developer", "groups": ["shop"], "packages": ["sh*"]});
    let path = "/api/v1/role-bindings/shop";
    assert_eq!(send(api, Method::PUT, path, &root, Some(&binding)).await.status, 201);
    let put = send(api, Method::PUT, "/api/v1/packages/shop", &ada, Some(&package("1"))).await;
    assert_eq!(put.status, 201, "{put:?}");
    assert_eq!(put.body["meta"]["written_by"], "ada");

    let settings = |token: &str| {
        let pairs =
            [("OPRC_SERVER", api.url.as_str()), ("OPRC_TOKEN", token), ("HOME", "/nowhere")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    };
    for (token, words, code, want) in [
        (ada.as_str(), "auth whoami", 0, "developer  sh*"),
        (&ada, "auth can-i update package shop", 0, "yes"),
        (&ada, "auth can-i update package lib", 1, "no"),
        (&ada, "auth can-i delete clusters east", 1, "want the role operator or admin"),
        (&ada, "get packages -o name", 0, "package/shop"),
        (&ada, "delete package lib", 1, "want the role developer or admin"),
        ("x.y.z", "get packages", 1, "OPRC_TOKEN"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let ran = run("oprc", &words, &settings(token), PATIENCE).await;
        let text = [ran.stdout, ran.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(ran.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(want), "{words:?}: {text}");
        assert!(!text.contains(&ada), "the token is told: {text}");
    }

    // The old secret goes: with it the tokens that were known already.
    fs::write(&file, SECRETS[1]).unwrap();
    let new = by_secret(SECRETS[1], "root", &[]);
    eventually("the new secret is taken", || async {
        let status = status(api, &new).await;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(status(api, &root).await, 401);
    // One that cannot be read is told, and the last good one stays.
    fs::write(&file, "short").unwrap();
    eventually("it is told", || async {
        let output = world.pms[0].process.output();
        if output.contains("stay in use") { Ok(()) } else { Err(output) }
    })
    .await;
    assert_eq!(status(api, &new).await, 200);
    let output = world.pms[0].process.output();
    assert!(!SECRETS.iter().any(|secret| output.contains(secret)), "a secret is in the log");
}

/// An OpenID provider, as far as its keys go.
#[derive(Default)]
struct Provider {
    set: Mutex<Option<Value>>,
    n_asked: AtomicU64,
}

impl Provider {
    async fn start(self: &Arc<Self>) -> String {
        let answer = |State(provider): State<Arc<Self>>| async move {
            provider.n_asked.fetch_add(1, Ordering::SeqCst);
            let set = provider.set.lock().unwrap().clone();
            set.map(|set| set.to_string()).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
        };
        let app = Router::new().route("/keys", get(answer)).with_state(Arc::clone(self));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    fn has(&self, keys: &[&Signer]) {
        let keys: Vec<Value> = keys
            .iter()
            .map(|signer| {
                let x = URL_SAFE_NO_PAD.encode(signer.pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": signer.kid, "x": x, "use": "sig"})
            })
            .collect();
        *self.set.lock().unwrap() = Some(json!({ "keys": keys }));
    }
}

struct Signer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { kid, pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    }

    fn token(&self) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.kid});
        token(&header, "root", &[], |message| self.pair.sign(message).as_ref().to_vec())
    }
}

#[tokio::test]
async fn keys_of_a_provider_rotate() {
    let provider = Arc::new(Provider::default());
    let url = provider.start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let mut world = locked(Backend::Embedded, &[("OPRC_PM_AUTH_JWKS_URL", &url)]).await;
    // The provider is down at first: the server serves, and says what is missing.
    let starting = world.add_pm();
    let opened = async {
        eventually("the keys are asked for", || async {
            let n_asked = provider.n_asked.load(Ordering::SeqCst);
            if n_asked > 0 { Ok(()) } else { Err(n_asked) }
        })
        .await;
        provider.has(&[&old]);
    };
    tokio::join!(starting, opened);
    let api = world.api();
    let (old_token, new_token) = (old.token(), new.token());
    assert_eq!(status(api, &old_token).await, 200);

    // A token of a key that nobody has heard of brings the next fetch forward, and no more than that.
    let before = provider.n_asked.load(Ordering::SeqCst);
    for _ in 0..100 {
        assert_eq!(status(api, &new_token).await, 401);
    }
    let n_asked = provider.n_asked.load(Ordering::SeqCst) - before;
    assert!(n_asked <= 1, "{n_asked}");
    provider.has(&[&old, &new]);
    eventually("the new key is taken", || async {
        let status = status(api, &new_token).await;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(status(api, &old_token).await, 200);

    // While the provider is down, its last keys stay.
    *provider.set.lock().unwrap() = None;
    let (forged, before) = (Signer::new("forged").token(), provider.n_asked.load(Ordering::SeqCst));
    eventually("it is asked again", || async {
        assert_eq!(status(api, &forged).await, 401);
        let n_asked = provider.n_asked.load(Ordering::SeqCst);
        if n_asked > before { Ok(()) } else { Err(n_asked) }
    })
    .await;
    assert_eq!(status(api, &old_token).await, 200);

    // The old key goes, and its tokens with it.
    provider.has(&[&new]);
    eventually("the old key is gone", || async {
        assert_eq!(status(api, &forged).await, 401);
        let status = status(api, &old_token).await;
        if status == 401 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(status(api, &new_token).await, 200);
}

/// A binding that one replica took counts on the other soon.
#[tokio::test]
async fn replicas_agree_on_who_may_do_what() {
    if crate::support::lacks_etcd() {
        return;
    }
    let mut world = locked(Backend::Etcd, &[("OPRC_PM_AUTH_JWT_SECRET", SECRETS[0])]).await;
    world.add_pm().await;
    world.add_pm().await;
    let [first, second] = [&world.pms[0].api, &world.pms[1].api];
    let [root, ada] = ["root", "ada"].map(|who| by_secret(SECRETS[0], who, &[]));
    let binding = json!({"name": "ada", "role": "viewer", "subjects": ["ada"]});
    let path = "/api/v1/role-bindings/ada";
    for (method, body, on_first) in
        [(Method::PUT, Some(&binding), 200), (Method::DELETE, None, 403)]
    {
        assert!(send(first, method, path, &root, body).await.status.is_success());
        assert_eq!(status(first, &ada).await, on_first);
        eventually("the other replica knows", || async {
            let status = status(second, &ada).await;
            if status == on_first { Ok(()) } else { Err(status) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_others_reach_does_not_start_open() {
    let folder = TempDir::new().unwrap();
    for host in ["0.0.0.0", "::"] {
        let settings = [("OPRC_PM_SERVER_HOST", host), ("OPRC_PM_STORAGE_TYPE", "memory")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut process = Process::start("oprc-pm", &settings, &folder.path().join("log"));
        assert_eq!(process.ended().await.code(), Some(1));
        for want in ["OPRC_PM_AUTH_MODE=jwt", "OPRC_PM_AUTH_ALLOW_ANONYMOUS=true"] {
            assert!(process.output().contains(want), "{}", process.output());
        }
    }
    // A key that is none is told at the start too.
    let pem = folder.path().join("key.pem");
    fs::write(&pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    let settings = [
        ("OPRC_PM_AUTH_MODE", "jwt"),
        ("OPRC_PM_AUTH_ISSUER", ISSUER),
        ("OPRC_PM_AUTH_JWT_PUBLIC_KEY_FILES", pem.to_str().unwrap()),
        ("OPRC_PM_SERVER_PORT", "0"),
        ("OPRC_PM_STORAGE_TYPE", "memory"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut process = Process::start("oprc-pm", &settings, &folder.path().join("log2"));
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(process.output().contains("key.pem has no key of tokens"), "{}", process.output());
}
