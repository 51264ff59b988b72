//! A proxy before a CRM: it records what took effect there, and loses answers or whole connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::TryStreamExt;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

use super::http::client;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are passed on.
    Up,
    /// They are closed at once.
    Closed,
    /// They are kept, and nothing is ever answered.
    Silent,
}

/// A call that changed what the CRM holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A unit that was not there.
    Created { id: String, generation: u64, term: u64 },
    /// Another generation of one that was.
    Updated { id: String, generation: u64, term: u64 },
    /// A removal that was begun.
    Deleted { id: String, term: u64 },
}

impl Effect {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Created { id, .. } | Self::Updated { id, .. } | Self::Deleted { id, .. } => id,
        }
    }

    pub(crate) fn term(&self) -> u64 {
        match self {
            Self::Created { term, .. }
            | Self::Updated { term, .. }
            | Self::Deleted { term, .. } => *term,
        }
    }
}

#[derive(Debug, Default)]
struct Recorded {
    effects: Vec<Effect>,
    /// The newest generation that was taken, by unit that was not deleted since.
    generations: BTreeMap<String, u64>,
    /// Units whose removal was begun: asking for it again is no second effect.
    deleting: BTreeSet<String>,
    /// Calls for units, whatever became of them.
    n_calls: usize,
    /// Answers to calls for units that are to be lost.
    n_to_lose: usize,
    /// Correlation ids of calls for units.
    correlation_ids: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    upstream: Mutex<String>,
    recorded: Mutex<Recorded>,
    mode: watch::Sender<Mode>,
}

/// A proxy that listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Proxy {
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            client: client().build().unwrap(),
            upstream: Mutex::new(upstream),
            recorded: Mutex::default(),
            mode: watch::Sender::new(Mode::Up),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, _accepting: AbortOnDropHandle::new(accepting) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn set_upstream(&self, url: String) {
        *self.shared.upstream.lock().unwrap() = url;
    }

    /// Also ends the connections that are open.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Lets the next `n_calls` calls for units act, and loses their answers.
    pub(crate) fn lose_answers(&self, n_calls: usize) {
        self.shared.recorded.lock().unwrap().n_to_lose = n_calls;
    }

    /// Answers that are still to be lost.
    pub(crate) fn n_to_lose(&self) -> usize {
        self.shared.recorded.lock().unwrap().n_to_lose
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.shared.recorded.lock().unwrap().effects.clone()
    }

    pub(crate) fn correlation_ids(&self) -> Vec<String> {
        self.shared.recorded.lock().unwrap().correlation_ids.clone()
    }

    pub(crate) fn n_calls(&self) -> usize {
        self.shared.recorded.lock().unwrap().n_calls
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            Some(_) = connections.join_next() => continue,
        };
        let mut mode = shared.mode.subscribe();
        let began_in = *mode.borrow_and_update();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            match began_in {
                Mode::Closed => drop(stream),
                Mode::Silent => {
                    let _ = mode.changed().await;
                    drop(stream);
                }
                Mode::Up => {
                    let service = service_fn(move |request| pass_on(Arc::clone(&shared), request));
                    let serving =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = serving => (),
                        _ = mode.changed() => (),
                    }
                }
            }
        });
    }
}

/// Passes one request on; an error closes the connection without an answer.
async fn pass_on(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path_and_query().unwrap().as_str();
    let upstream = shared.upstream.lock().unwrap().clone();
    let is_for_unit = parts.method != Method::GET;
    if is_for_unit {
        let mut recorded = shared.recorded.lock().unwrap();
        recorded.n_calls += 1;
        let id = parts.headers.get("x-correlation-id").and_then(|value| value.to_str().ok());
        recorded.correlation_ids.extend(id.map(str::to_owned));
    }
    let term = parts.headers.get("oprc-term").and_then(|value| value.to_str().ok());
    let term = term.and_then(|term| term.parse().ok()).unwrap_or_default();
    let mut headers = parts.headers.clone();
    headers.remove(HOST);
    headers.remove(CONNECTION);
    let outgoing = shared.client.request(parts.method.clone(), format!("{upstream}{path}"));
    // To its end even if the caller has gone: what is sent is done.
    let outgoing = outgoing.headers(headers).body(body.clone()).send();
    let answer = tokio::spawn(outgoing).await.unwrap().map_err(io::Error::other)?;
    let status = answer.status().as_u16();
    if is_for_unit {
        let mut recorded = shared.recorded.lock().unwrap();
        recorded.take(&parts.method, path, &body, status, term);
        if recorded.n_to_lose > 0 {
            recorded.n_to_lose -= 1;
            return Err(io::Error::other("the answer is lost"));
        }
    }
    let mut response = Response::builder().status(status);
    let passed = answer.headers().iter().filter(|(name, _)| *name != TRANSFER_ENCODING);
    for (name, value) in passed {
        response = response.header(name, value);
    }
    let stream = answer.bytes_stream().map_ok(Frame::data).map_err(io::Error::other);
    Ok(response.body(StreamBody::new(stream).boxed_unsync()).unwrap())
}

impl Recorded {
    fn take(&mut self, method: &Method, path: &str, body: &[u8], status: u16, term: u64) {
        if *method == Method::DELETE && status == 202 {
            let id = path.rsplit('/').next().unwrap_or_default();
            let id = id.split('?').next().unwrap_or_default().to_owned();
            self.generations.remove(&id);
            if self.deleting.insert(id.clone()) {
                self.effects.push(Effect::Deleted { id, term });
            }
            return;
        }
        if *method != Method::POST || !(200..300).contains(&status) {
            return;
        }
        let unit: Value = serde_json::from_slice(body).unwrap_or_default();
        let id = unit["id"].as_str().unwrap_or_default().to_owned();
        let generation = unit["generation"].as_u64().unwrap_or_default();
        let before = self.generations.insert(id.clone(), generation);
        self.deleting.remove(&id);
        if status == 201 {
            self.effects.push(Effect::Created { id, generation, term });
        } else if before != Some(generation) {
            self.effects.push(Effect::Updated { id, generation, term });
        }
    }
}
