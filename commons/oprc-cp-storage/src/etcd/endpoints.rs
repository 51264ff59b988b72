//! The members, the connections to them, and the change from one to the next.
//!
//! One member is used at a time, by all, until it fails. Rejected: the client's own balancing, which
//! goes on sending a share of the requests to a member that hangs, each to wait for its timeout.
//!
//! A connection on which a request timed out is given up, since it may be half-open: the request's
//! own keep-alive pings end with it.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    failure::{About, Failure},
    options::EtcdOptions,
};

/// How often an open stream is pinged. etcd hangs up on a client that pings more than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// How long a ping may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait when every member has refused for a reason that passes.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether doing a call twice is the same as doing it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It may be sent to another member though the first may have done it.
    Safe,
    /// It may not.
    Unsafe,
}

/// The members, one in use.
pub(super) struct Endpoints {
    nodes: Vec<Node>,
    current: AtomicUsize,
    options: ConnectOptions,
    timeout: Duration,
}

struct Node {
    url: String,
    client: Mutex<Option<(u64, Client)>>,
    n_connects: Mutex<u64>,
}

/// A connection that was used, so that it can be given up when it is still the one in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    node: usize,
    connect: u64,
}

impl Endpoints {
    pub(super) fn new(options: &EtcdOptions) -> Self {
        let node = |url: &String| Node {
            url: url.clone(),
            client: Mutex::new(None),
            n_connects: Mutex::new(0),
        };
        Self {
            nodes: options.endpoints.iter().map(node).collect(),
            current: AtomicUsize::new(0),
            options: connect_options(options),
            timeout: options.timeout,
        }
    }

    /// Calls `call` with the member in use, and with the next ones when it fails, in the time that
    /// a call may take.
    pub(super) async fn call<T, F>(
        &self,
        repeat: Repeat,
        about: About,
        call: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let deadline = Instant::now() + self.timeout;
        let mut n_not_sent = 0;
        let mut n_failed = 0;
        loop {
            let tried = self.call_once(self.attempt_deadline(repeat, deadline), about, &call).await;
            let (used, failure) = match tried {
                Ok(answer) => return Ok(answer),
                Err((_, failure @ (Failure::Final(_) | Failure::TooLarge(_)))) => {
                    return Err(failure);
                }
                Err((used, failure)) => (used, failure),
            };
            n_failed += 1;
            self.give_up(used);
            let goes_on = match &failure {
                Failure::NotSent(_) => {
                    n_not_sent += 1;
                    n_not_sent < self.nodes.len()
                }
                Failure::Unknown(_) => repeat == Repeat::Safe && n_failed <= self.nodes.len(),
                Failure::TokenStale(_) => n_failed <= self.nodes.len() + 1,
                Failure::NotDone(_) => true,
                Failure::TooLarge(_) | Failure::Final(_) => false,
            };
            if !goes_on || Instant::now() + PAUSE >= deadline {
                return Err(failure);
            }
            if n_failed % self.nodes.len() == 0 {
                sleep(PAUSE).await;
            }
        }
    }

    /// A member to talk to for longer, and its connection.
    pub(super) async fn client(&self) -> Result<(Used, Client), Failure> {
        let deadline = Instant::now() + self.timeout;
        let node = self.current.load(Ordering::Relaxed) % self.nodes.len();
        let connected = timeout_at(deadline, self.connect(node)).await;
        match connected.unwrap_or_else(|_| Err(Failure::timeout())) {
            Ok((connect, client)) => Ok((Used { node, connect }, client)),
            Err(failure) => {
                self.next_after(node);
                Err(failure)
            }
        }
    }

    /// Gives up the connection, if it is still in use, and goes on with the next member.
    pub(super) fn give_up(&self, used: Used) {
        self.next_after(used.node);
        if let Some(node) = self.nodes.get(used.node) {
            let mut client = node.client.lock();
            if client.as_ref().is_some_and(|(connect, _)| *connect == used.connect) {
                *client = None;
            }
        }
    }

    /// A call that may be repeated leaves time to do so.
    fn attempt_deadline(&self, repeat: Repeat, deadline: Instant) -> Instant {
        let share = match (repeat, self.nodes.len()) {
            (Repeat::Safe, 2..) => self.timeout / 3,
            (Repeat::Safe, _) | (Repeat::Unsafe, _) => self.timeout,
        };
        deadline.min(Instant::now() + share)
    }

    async fn call_once<T, F>(
        &self,
        deadline: Instant,
        about: About,
        call: impl Fn(Client) -> F,
    ) -> Result<T, (Used, Failure)>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let node = self.current.load(Ordering::Relaxed) % self.nodes.len();
        let mut used = Used { node, connect: 0 };
        // Until there is a connection nothing is sent, so no answer means that nothing was done.
        let (connect, client) = match timeout_at(deadline, self.connect(node)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(failure)) => return Err((used, failure)),
            Err(_) => return Err((used, Failure::NotSent("no connection in time".into()))),
        };
        used.connect = connect;
        let answered = timeout_at(deadline, pin!(call(client))).await;
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(err)) => Err((used, Failure::of(err, about))),
            Err(_) => Err((used, Failure::timeout())),
        }
    }

    async fn connect(&self, node: usize) -> Result<(u64, Client), Failure> {
        let Some(node) = self.nodes.get(node) else {
            return Err(Failure::NotSent("there is no such member".into()));
        };
        if let Some((connect, client)) = node.client.lock().as_ref() {
            return Ok((*connect, client.clone()));
        }
        // Several may do so at once; the last one's is kept. Without a user this does no IO.
        let client = Client::connect([&node.url], Some(self.options.clone()))
            .await
            .map_err(|err| not_done(Failure::of(err, About::NOTHING)))?;
        let connect = {
            let mut n_connects = node.n_connects.lock();
            *n_connects += 1;
            *n_connects
        };
        *node.client.lock() = Some((connect, client.clone()));
        Ok((connect, client))
    }

    fn next_after(&self, node: usize) {
        let next = (node + 1) % self.nodes.len();
        // When another call has gone on already, that is good enough.
        let _ = self.current.compare_exchange(node, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// To log in is not to do anything: what failed there was not done.
fn not_done(failure: Failure) -> Failure {
    match failure {
        Failure::Unknown(source) | Failure::TokenStale(source) => Failure::NotSent(source),
        Failure::NotSent(_) | Failure::NotDone(_) | Failure::TooLarge(_) | Failure::Final(_) => {
            failure
        }
    }
}

fn connect_options(options: &EtcdOptions) -> ConnectOptions {
    let mut connect = ConnectOptions::new()
        .with_connect_timeout(options.timeout / 3)
        // Only while a request is open: etcd hangs up on a client that pings when idle.
        .with_keep_alive(PING_INTERVAL, PING_TIMEOUT)
        .with_keep_alive_while_idle(false)
        .with_tcp_keepalive(PING_INTERVAL)
        // A member that has lost its leader says so instead of letting us wait.
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some(username) = &options.username {
        let password = options.password.as_ref().map_or("", |password| password.reveal());
        connect = connect.with_user(username, password);
    }
    let is_tls = options.endpoints.iter().any(|url| url.starts_with("https://"));
    if is_tls {
        let mut tls = TlsOptions::new();
        if let Some(ca) = &options.ca_cert_pem {
            tls = tls.ca_certificate(Certificate::from_pem(ca));
        }
        if let (Some(cert), Some(key)) = (&options.client_cert_pem, &options.client_key_pem) {
            tls = tls.identity(Identity::from_pem(cert, key.reveal()));
        }
        connect = connect.with_tls(tls);
    }
    connect
}
