//! Clients that take connections and give nothing: whoever asks for something is answered all the
//! same, and memory stays where it was.

use std::{fs, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Backend, PATIENCE, World};

/// Connections of clients that say nothing. More than the server has places for.
const MANY: usize = 10_000;

/// So many that each of the server's 2,048 places is taken.
const FULL: usize = 2_500;

/// What a place may cost, in a program that is not optimised: a task and its buffers.
const MAX_BYTES_EACH: u64 = 64 << 10;

/// What the process may grow by once all places are taken: nothing, but for what its allocator
/// does not give back.
const MAX_GROWTH_BYTES: u64 = 32 << 20;

/// How many files this process may still open, less some for everybody else's tests.
fn n_files() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse::<usize>().unwrap_or(MANY * 2) / 2
}

async fn connect(world: &World) -> TcpStream {
    let addr = world.api().url.strip_prefix("http://").unwrap().to_owned();
    timeout(PATIENCE, TcpStream::connect(addr)).await.unwrap().unwrap()
}

/// Whether the server ends the connection, in time.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(PATIENCE, stream.read(&mut [0; 1024])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_keep_nobody_out() {
    let world = World::start(Backend::Embedded, &[]).await;
    let n = MANY.min(n_files());
    assert!(n > 2 * FULL, "open files are limited to {n}: raise the limit to test this");
    let resident_bytes = || world.pms[0].process.resident_bytes();
    let (before, mut full) = (resident_bytes(), 0);
    let mut idle = Vec::with_capacity(n);
    for i in 0..n {
        let mut stream = connect(&world).await;
        // Some have begun a request that never ends.
        if i % 3 == 0 {
            stream
                .write_all(b"GET /api/v1/packages HTTP/1.1\r\nhost: localhost\r\nx-slow: ")
                .await
                .unwrap();
        }
        idle.push(stream);
        if i == FULL {
            full = resident_bytes();
        }
        if i % 500 == 0 {
            assert_eq!(world.api().get("/api/v1/packages").await.status, 200, "after {i}");
        }
    }
    assert_eq!(world.api().get("/api/v1/packages").await.status, 200);
    assert!(is_closed(&mut idle[1]).await, "the first are sent away");
    let after = resident_bytes();
    let told =
        format!("{before} bytes at first, {full} with every place taken, {after} in the end");
    assert!(full.saturating_sub(before) < MAX_BYTES_EACH * FULL as u64, "{told}");
    assert!(after.saturating_sub(full) < MAX_GROWTH_BYTES, "{told}");
}

/// A request that is under way keeps its connection, whoever comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_is_cut_off_in_time() {
    let world = World::start(Backend::Embedded, &[]).await;
    let mut slow = connect(&world).await;
    let head = "POST /api/v1/packages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\n\r\n{\"name\":";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The body has ten seconds.
    let read = timeout(PATIENCE.max(Duration::from_secs(30)), slow.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "a body that does not come is waited for without end");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_headers_is_refused() {
    let world = World::start(Backend::Embedded, &[]).await;
    for (n, bytes) in [(1, 1 << 20), (5_000, 16), (99, 2_000)] {
        let mut stream = connect(&world).await;
        let header = |i: usize| format!("x-{i}: {}\r\n", "y".repeat(bytes));
        let headers: String = (0..n).map(header).collect();
        let request = format!("GET /api/v1/packages HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        // The server may have refused, and gone, before it was sent whole.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 431 ");
        assert!(is_refused, "{n} headers of {bytes} bytes: {answer}");
    }
    assert_eq!(world.api().get("/api/v1/packages").await.status, 200);
}
