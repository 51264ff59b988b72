//! The members, the connections to them, and the change from one to the next.
//!
//! One member is used at a time, by all, until it fails. Rejected: the client's own balancing, which
//! goes on sending a share of the requests to a member that hangs, each to wait for its timeout.
//!
//! A connection on which a request timed out is given up, since it may be half-open: the request's
//! own keep-alive pings end with it.

mod login;

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use self::login::Login;
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

/// A connection of this age that is refused is replaced, since the credentials may have changed. It
/// bounds how often a password is sent that is refused.
const LOGIN_INTERVAL: Duration = Duration::from_secs(1);

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
    login: Option<Login>,
    timeout: Duration,
}

struct Node {
    url: String,
    client: Mutex<Option<Connected>>,
    /// Held while connecting: a login is work for etcd, so calls that wait share one.
    connecting: tokio::sync::Mutex<Connects>,
}

/// A connection in use.
#[derive(Clone)]
struct Connected {
    connect: u64,
    since: Instant,
    client: Client,
}

/// The attempts to connect to one member.
#[derive(Default)]
struct Connects {
    n: u64,
    /// When the credentials were last refused, and why.
    refused: Option<(Instant, String)>,
}

/// A connection that was used, so that it can be given up when it is still the one in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    node: usize,
    connect: u64,
    /// When the connection was made; `None` if there was none.
    since: Option<Instant>,
}

impl Used {
    /// `true` if the credentials may have changed since the connection was made.
    fn may_log_in_again(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= LOGIN_INTERVAL)
    }
}

impl Endpoints {
    pub(super) fn new(options: &EtcdOptions) -> Self {
        let node = |url: &String| Node {
            url: url.clone(),
            client: Mutex::new(None),
            connecting: tokio::sync::Mutex::default(),
        };
        Self {
            nodes: options.endpoints.iter().map(node).collect(),
            current: AtomicUsize::new(0),
            options: connect_options(options),
            login: Login::of(options),
            timeout: options.timeout,
        }
    }

    /// Sends `call` to all members at once and returns the index of the first that answers it.
    pub(super) async fn first_to_answer<F>(
        &self,
        call: impl Fn(Client) -> F + Send + Sync,
    ) -> Result<usize, Failure>
    where
        F: Future<Output = Result<(), etcd_client::Error>> + Send,
    {
        let deadline = Instant::now() + self.timeout;
        let call = &call;
        let mut calls: FuturesUnordered<_> = (0..self.nodes.len())
            .map(|node| async move {
                let answered = self.call_node(node, deadline, About::NOTHING, call).await;
                answered.map(|()| node).map_err(|(_, failure)| failure)
            })
            .collect();
        let mut worst = Failure::timeout();
        while let Some(answered) = calls.next().await {
            match answered {
                Ok(node) => return Ok(node),
                // A member that refuses says more than one that is not there.
                Err(failure) if !worst.is_refusal() => worst = failure,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    /// Uses member `node` from now on.
    pub(super) fn prefer(&self, node: usize) {
        self.current.store(node, Ordering::Relaxed);
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
            let failure = match tried {
                Ok(answer) => return Ok(answer),
                Err((_, failure @ (Failure::Final(_) | Failure::TooLarge(_)))) => {
                    return Err(failure);
                }
                Err((used, failure @ Failure::Unauthorized(_))) => {
                    if !used.may_log_in_again() {
                        return Err(failure);
                    }
                    self.disconnect(used);
                    failure
                }
                Err((used, failure)) => {
                    self.give_up(used);
                    failure
                }
            };
            n_failed += 1;
            let goes_on = match &failure {
                Failure::NotSent(_) => {
                    n_not_sent += 1;
                    n_not_sent < self.nodes.len()
                }
                Failure::Unknown(_) => repeat == Repeat::Safe && n_failed <= self.nodes.len(),
                Failure::TokenStale(_) | Failure::Unauthorized(_) => {
                    n_failed <= self.nodes.len() + 1
                }
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
            Ok(Connected { connect, since, client }) => {
                Ok((Used { node, connect, since: Some(since) }, client))
            }
            Err(failure) => {
                self.next_after(node);
                Err(failure)
            }
        }
    }

    /// Gives up the connection, if it is still in use, and goes on with the next member.
    pub(super) fn give_up(&self, used: Used) {
        self.next_after(used.node);
        self.disconnect(used);
    }

    /// Gives up the connection, if it is still in use; the next one is made with new credentials.
    fn disconnect(&self, used: Used) {
        if let Some(node) = self.nodes.get(used.node) {
            let mut client = node.client.lock();
            if client.as_ref().is_some_and(|connected| connected.connect == used.connect) {
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
        self.call_node(node, deadline, about, call).await
    }

    async fn call_node<T, F>(
        &self,
        node: usize,
        deadline: Instant,
        about: About,
        call: impl Fn(Client) -> F,
    ) -> Result<T, (Used, Failure)>
    where
        F: Future<Output = Result<T, etcd_client::Error>> + Send,
    {
        let mut used = Used { node, connect: 0, since: None };
        // Until there is a connection nothing is sent, so no answer means that nothing was done.
        let client = match timeout_at(deadline, self.connect(node)).await {
            Ok(Ok(Connected { connect, since, client })) => {
                used = Used { node, connect, since: Some(since) };
                client
            }
            Ok(Err(failure)) => return Err((used, failure)),
            Err(_) => return Err((used, Failure::NotSent("no connection in time".into()))),
        };
        let answered = timeout_at(deadline, pin!(call(client))).await;
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(err)) => Err((used, Failure::of(err, about))),
            Err(_) => Err((used, Failure::timeout())),
        }
    }

    async fn connect(&self, node: usize) -> Result<Connected, Failure> {
        let Some(node) = self.nodes.get(node) else {
            return Err(Failure::NotSent("there is no such member".into()));
        };
        if let Some(connected) = node.client.lock().as_ref() {
            return Ok(connected.clone());
        }
        let mut connects = node.connecting.lock().await;
        if let Some(connected) = node.client.lock().as_ref() {
            return Ok(connected.clone());
        }
        if let Some((when, reason)) = &connects.refused
            && when.elapsed() < LOGIN_INTERVAL
        {
            return Err(Failure::Unauthorized(reason.clone()));
        }
        let client = match &self.login {
            None => login::connect(&node.url, self.options.clone()).await,
            Some(login) => login.connect(&node.url, &self.options).await,
        };
        let client = client.map_err(not_done).inspect_err(|failure| {
            if let Failure::Unauthorized(reason) = failure {
                connects.refused = Some((Instant::now(), reason.clone()));
            }
        })?;
        connects.n += 1;
        connects.refused = None;
        let connected = Connected { connect: connects.n, since: Instant::now(), client };
        *node.client.lock() = Some(connected.clone());
        Ok(connected)
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
        Failure::NotSent(_)
        | Failure::NotDone(_)
        | Failure::TooLarge(_)
        | Failure::Unauthorized(_)
        | Failure::Final(_) => failure,
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
