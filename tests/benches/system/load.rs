//! The load generator: keep-alive HTTP/1.1 connections that each send one request after another.
//!
//! Bare, so that it takes as little as possible of the processor that both sides of a ratio share.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

/// The longest that one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Connection {
    addr: SocketAddr,
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { addr, stream, answer: Vec::with_capacity(16 * 1024) }
    }

    pub(crate) async fn get(&mut self, path: &str) -> (u16, &[u8]) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.addr)).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> (u16, &[u8]) {
        self.write("POST", path, body).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: &str) -> (u16, &[u8]) {
        self.write("PUT", path, body).await
    }

    async fn write(&mut self, method: &str, path: &str, body: &str) -> (u16, &[u8]) {
        let (addr, length) = (self.addr, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.send(&head).await
    }

    /// Sends a request as it is; answers the status and the body.
    pub(crate) async fn send(&mut self, request: &str) -> (u16, &[u8]) {
        timeout(PATIENCE, self.exchange(request)).await.expect("the server answers in time")
    }

    async fn exchange(&mut self, request: &str) -> (u16, &[u8]) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.answer.clear();
        let (status, start, end) = loop {
            let n_read = self.stream.read_buf(&mut self.answer).await.unwrap();
            assert!(n_read > 0, "the server hung up");
            if let Some((status, start, length)) = head(&self.answer) {
                break (status, start, start + length);
            }
        };
        while self.answer.len() < end {
            let n_read = self.stream.read_buf(&mut self.answer).await.unwrap();
            assert!(n_read > 0, "the server hung up");
        }
        (status, &self.answer[start..end])
    }
}

/// The status, where the body begins, and its length, once the head is there.
fn head(answer: &[u8]) -> Option<(u16, usize, usize)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    Some((status, end + 4, length.unwrap_or(0)))
}

/// `n_clients` do `work` over and over for `time`; answers how often a second.
///
/// Each client is made by `client` and hands itself from one turn to the next.
pub(crate) async fn closed_loop<C, F, W>(
    n_clients: usize,
    time: Duration,
    client: F,
    work: W,
) -> f64
where
    C: Send + 'static,
    F: AsyncFn() -> C,
    W: Fn(C, u64) -> std::pin::Pin<Box<dyn Future<Output = C> + Send>> + Send + Sync + 'static,
{
    let (work, turns) = (Arc::new(work), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for _ in 0..n_clients {
        clients.push(client().await);
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (work, turns) = (Arc::clone(&work), Arc::clone(&turns));
        tasks.spawn(async move {
            while began.elapsed() < time {
                client = work(client, turns.fetch_add(1, Ordering::Relaxed)).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    turns.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Pushes every document, `n_clients` at a time; answers how long it took.
pub(crate) async fn push_all(
    addr: SocketAddr,
    n_clients: usize,
    documents: Vec<String>,
) -> Duration {
    let (documents, next) = (Arc::new(documents), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..n_clients {
        let (documents, next) = (Arc::clone(&documents), Arc::clone(&next));
        tasks.spawn(async move {
            let mut connection = Connection::open(addr).await;
            loop {
                let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                let Some(document) = documents.get(index) else { return };
                let (status, body) = connection.post("/api/v1/deployments", document).await;
                assert_eq!(status, 201, "{}", String::from_utf8_lossy(body));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    began.elapsed()
}
