//! Clients that create, change, push again, read and delete, and write down what they were told.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fastrand::Rng;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::history::{Call, Mark, Operation, Reply, Tag};
use crate::support::{Api, document};

const N_CLIENTS: u64 = 6;
/// Each is written by all clients.
const N_KEYS: usize = 24;
/// The longest wait for an answer: longer than a replica waits for etcd here, so that mostly it is
/// told, and not so long that a replica that stands still keeps all clients.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The clusters that documents are for.
pub(crate) const CLUSTERS: [&str; 2] = ["edge-1", "edge-2"];

/// The next mark; no two documents of this process have the same.
static NEXT_MARK: AtomicU64 = AtomicU64::new(1);

/// The keys that clients write.
pub(crate) fn keys() -> impl Iterator<Item = String> {
    (0..N_KEYS).map(|i| format!("cart-{i}"))
}

/// The document with this mark, always the same.
pub(crate) fn marked(key: &str, mark: Mark) -> Value {
    let targets = match mark % 3 {
        0 => &CLUSTERS[..1],
        1 => &CLUSTERS[1..],
        _ => &CLUSTERS[..],
    };
    let mut document = document(key, targets);
    document["labels"] = json!({"mark": mark.to_string()});
    document
}

pub(crate) fn next_mark() -> Mark {
    NEXT_MARK.fetch_add(1, Ordering::Relaxed)
}

/// Sends one call and writes down what became of it.
pub(crate) async fn call(api: &Api, key: &str, call: Call) -> Operation {
    let invoked = Instant::now();
    let sent = Api::try_send(request(api, key, call).timeout(TIMEOUT)).await;
    let reply = match &sent {
        Ok(answer) => Reply::of(call, answer).unwrap_or_else(|reason| panic!("{key}: {reason}")),
        // Nothing was sent.
        Err(err) if err.is_connect() => Reply::NotDone,
        Err(_) if call == Call::Read => Reply::NotDone,
        Err(_) => Reply::Unknown,
    };
    Operation { key: key.to_owned(), call, reply, invoked, returned: Instant::now() }
}

fn request(api: &Api, key: &str, call: Call) -> RequestBuilder {
    let path = format!("/api/v1/deployments/{key}");
    match call {
        Call::Create(mark) => {
            api.request(Method::POST, "/api/v1/deployments").json(&marked(key, mark))
        }
        Call::Put(mark) => api.request(Method::PUT, &path).json(&marked(key, mark)),
        Call::Replace { mark, tag, .. } => {
            let request = api.request(Method::PUT, &path).json(&marked(key, mark));
            request.header("if-match", format!("\"{tag}.0\""))
        }
        Call::Delete => api.request(Method::DELETE, &path),
        Call::Read => api.request(Method::GET, &path),
    }
}

/// One client: what it knows of each document.
struct Client {
    api: Api,
    rng: Rng,
    read: BTreeMap<String, (Mark, Tag)>,
    pushed: BTreeMap<String, Mark>,
}

/// Runs clients, one call after another each, until they are stopped; answers all that they did.
/// Each stays with one of `apis`: one that hangs does not keep the clients of another.
pub(crate) async fn run(apis: Vec<Api>, seed: u64, stop: CancellationToken) -> Vec<Operation> {
    let mut clients = JoinSet::new();
    for (client, api) in (0..N_CLIENTS).zip(apis.iter().cycle()) {
        let mut client = Client {
            api: api.clone(),
            rng: Rng::with_seed(seed * N_CLIENTS + client),
            read: BTreeMap::new(),
            pushed: BTreeMap::new(),
        };
        let stop = stop.clone();
        clients.spawn(async move {
            let mut history = Vec::new();
            while !stop.is_cancelled() {
                history.push(client.act().await);
                sleep(Duration::from_millis(client.rng.u64(10..50))).await;
            }
            history
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

impl Client {
    async fn act(&mut self) -> Operation {
        let key = format!("cart-{}", self.rng.usize(0..N_KEYS));
        let asked = match self.rng.u8(0..100) {
            0..30 => Call::Read,
            30..55 => match self.read.get(&key) {
                Some(&(read, tag)) => Call::Replace { mark: next_mark(), read, tag },
                None => Call::Read,
            },
            55..70 => Call::Put(next_mark()),
            // The same again, as from a pipeline.
            70..80 => Call::Put(self.pushed.get(&key).copied().unwrap_or_else(next_mark)),
            80..90 => Call::Create(next_mark()),
            _ => Call::Delete,
        };
        let operation = call(&self.api, &key, asked).await;
        match (asked, operation.reply) {
            (_, Reply::Found(mark, tag))
            | (
                Call::Create(mark) | Call::Put(mark) | Call::Replace { mark, .. },
                Reply::Created(tag) | Reply::Written(tag),
            ) => drop(self.read.insert(key.clone(), (mark, tag))),
            _ => (),
        }
        if let Call::Create(mark) | Call::Put(mark) = asked {
            self.pushed.insert(key, mark);
        }
        operation
    }
}
