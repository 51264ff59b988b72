//! Requests as bytes, over a socket.

use std::time::Duration;

use axum::{Router, body::Bytes};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// A server that answers with the length of the body.
async fn serve() -> (std::net::SocketAddr, tokio_util::sync::DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router =
        Router::new().fallback(|body: Bytes| async move { format!("{} bytes", body.len()) });
    tokio::spawn(crate::serve(listener, None, router, Duration::from_secs(1), stop.clone()));
    (address, stop.drop_guard())
}

/// The answer to `request`, up to the end of the connection.
async fn answer(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read all.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn ambiguous_heads_are_refused_and_their_connection_closed() {
    let (address, _server) = serve().await;
    let body = "3\r\nabc\r\n0\r\n\r\n";
    for (status, head, body) in [
        (400, "GET / HTTP/1.1\r\n", ""),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", ""),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", ""),
        (400, "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", ""),
        (400, "GET / HTTP/1.1\r\nHost: a/b\r\n", ""),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n", ""),
        (400, "GET / HTTP/1.1\r\nHost: user@a\r\n", ""),
        (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n", body),
        (
            501,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            body,
        ),
        (501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n", body),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n", body),
        (400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", body),
        (400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n", ""),
    ] {
        // Another request behind it must not be answered.
        let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = answer(address, &format!("{head}\r\n{body}{next}")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} "))
                || answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{head:?}: {answer:?}"
        );
        assert_eq!(answer.matches("HTTP/1.").count(), 1, "{head:?}: {answer:?}");
    }
}

#[tokio::test]
async fn length_beside_chunked_is_not_read_in_two_ways() {
    let (address, _server) = serve().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
                   Connection: close\r\n\r\n0\r\n\r\n";
    let answer = answer(address, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.ends_with("0 bytes"), "{answer:?}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{answer:?}");
}

#[tokio::test]
async fn ordinary_heads_are_served() {
    let (address, _server) = serve().await;
    for (head, body, want) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", "", "0 bytes"),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n", "", "0 bytes"),
        ("GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n", "", "0 bytes"),
        ("GET / HTTP/1.0\r\n", "", "0 bytes"),
        (
            "POST / HTTP/1.1\r\nHost: a.example:80\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "3 bytes",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n",
            "abcd",
            "4 bytes",
        ),
    ] {
        let answer = answer(address, &format!("{head}\r\n{body}")).await;
        assert!(answer.contains(" 200 OK") && answer.ends_with(want), "{head:?}: {answer:?}");
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let (address, _server) = serve().await;
    let check = async |what: &str, n: usize, request: String, want: u16| {
        let answer = answer(address, &request).await;
        // A connection that is closed on unread bytes is reset, and its answer may be lost.
        let is_lost = want == 431 && answer.is_empty();
        let is_answered = answer.starts_with(&format!("HTTP/1.1 {want} "));
        assert!(is_answered || is_lost, "{what} of {n}: {answer:.60?}");
    };
    for (n, want) in [(30 << 10, 200), (34 << 10, 431), (63 << 10, 431), (100 << 10, 431)] {
        let long = "x".repeat(n);
        let rest = "Host: a\r\nConnection: close\r\n";
        check("header", n, format!("GET / HTTP/1.1\r\n{rest}X-A: {long}\r\n\r\n"), want).await;
        let many: String =
            (0..50).map(|i| format!("X-{i}: {}\r\n", &long[..n / 50 - 10])).collect();
        check("headers", n, format!("GET / HTTP/1.1\r\n{rest}{many}\r\n"), want).await;
    }
    // hyper answers for a target that the buffer does not hold.
    let target = "x".repeat(100 << 10);
    let answer = answer(address, &format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let is_refused = answer.is_empty()
        || answer.starts_with("HTTP/1.1 431 ")
        || answer.starts_with("HTTP/1.1 414 ");
    assert!(is_refused, "{answer:.60?}");
}
