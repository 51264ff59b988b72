//! Creates and GETs of a caller who shows a token and has a role, beside those of one who need not.
//!
//! Two Package Managers, alike but for the door, take turns.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    documents::{PACKAGE, deployment},
    load::{Connection, closed_loop},
    process::{Program, free_addr},
    stores::{Kind, Place},
    table,
};

const CLIENTS: usize = 64;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);
const SECRET: &str = "a secret of more than thirty-two bytes";

/// A token as people have them: of someone in thirty groups.
fn token(subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let groups: Vec<String> = (0..30).map(|n| format!("team-{n}")).collect();
    let claims = json!({
        "iss": "bench", "aud": "oprc-pm", "sub": subject, "groups": groups, "exp": now + 3600,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&json!({"alg": "HS256"})), encode(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// A Package Manager, and the header lines that its callers send.
struct Side {
    pm: Program,
    headers: Arc<str>,
    _place: Place,
}

impl Side {
    async fn start(is_locked: bool) -> Self {
        let place = Place::new(Kind::Embedded).await.unwrap();
        // A cluster that is registered, and nothing behind it: units wait.
        let mut variables = place.variables(&[("east", format!("http://{}", free_addr()))]);
        let mut set = |name: &str, value: &str| variables.push((name.to_owned(), value.to_owned()));
        if is_locked {
            set("OPRC_PM_AUTH_MODE", "jwt");
            set("OPRC_PM_AUTH_ISSUER", "bench");
            set("OPRC_PM_AUTH_JWT_SECRET", SECRET);
            set("OPRC_PM_AUTH_ADMINS", "root");
        }
        let (pm, _) = Program::pm(variables).await;
        let line = |token: String| format!("authorization: Bearer {token}\r\n");
        let (root, headers) = match is_locked {
            true => (line(token("root")), line(token("ada"))),
            false => (String::new(), String::new()),
        };
        let mut connection = Connection::open(pm.addr).await;
        if is_locked {
            let binding = json!({"name": "ada", "role": "deployer", "groups": ["team-7"],
                "packages": ["shop*"]});
            let path = "/api/v1/role-bindings";
            let (status, _) =
                send(&mut connection, "POST", path, &root, &binding.to_string()).await;
            assert_eq!(status, 201);
        }
        let (status, body) =
            send(&mut connection, "POST", "/api/v1/packages", &root, PACKAGE).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        Self { pm, headers: headers.into(), _place: place }
    }

    async fn creates(&self, next: &Arc<AtomicU64>) -> f64 {
        let (next, headers) = (Arc::clone(next), Arc::clone(&self.headers));
        measured(self.pm.addr, move |connection| {
            let document =
                deployment(&format!("cart-{:020}", next.fetch_add(1, Ordering::Relaxed)), "east");
            let headers = Arc::clone(&headers);
            Box::pin(async move {
                let mut connection = connection;
                let path = "/api/v1/deployments";
                let (status, body) = send(&mut connection, "POST", path, &headers, &document).await;
                assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
                connection
            })
        })
        .await
    }

    async fn gets(&self) -> f64 {
        let headers = Arc::clone(&self.headers);
        measured(self.pm.addr, move |connection| {
            let headers = Arc::clone(&headers);
            Box::pin(async move {
                let mut connection = connection;
                let path = "/api/v1/packages/shop";
                let (status, _) = send(&mut connection, "GET", path, &headers, "").await;
                assert_eq!(status, 200);
                connection
            })
        })
        .await
    }
}

type Turn = std::pin::Pin<Box<dyn Future<Output = Connection> + Send>>;

async fn measured(
    addr: SocketAddr,
    work: impl Fn(Connection) -> Turn + Send + Sync + 'static,
) -> f64 {
    let work = move |connection: Connection, _| work(connection);
    closed_loop(CLIENTS, TIME, async || Connection::open(addr).await, work).await
}

async fn send(
    connection: &mut Connection,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, Vec<u8>) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let (status, body) = connection.send(&request).await;
    (status, body.to_vec())
}

pub(crate) async fn run() {
    let (open, locked) = (Side::start(false).await, Side::start(true).await);
    let next = Arc::new(AtomicU64::new(0));
    let (mut creates, mut gets) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..=ROUNDS {
        for (index, side) in [&open, &locked].into_iter().enumerate() {
            let (created, got) = (side.creates(&next).await, side.gets().await);
            // The first round warms both up.
            if round > 0 {
                creates[index].push(created);
                gets[index].push(got);
            }
        }
    }
    let name = "creates with a token and a role, 64 clients, against without";
    let [mut open, mut locked] = creates;
    table::ratio(name, table::median(&mut locked), table::median(&mut open), 0.9);
    let name = "GETs with a token and a role, 64 clients, against without";
    let [mut open, mut locked] = gets;
    table::ratio(name, table::median(&mut locked), table::median(&mut open), 0.9);
}
