//! Servers that refuse, are busy, or are not there; readers that leave.

use std::io::{self, Write};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

#[tokio::test]
async fn tells_a_problem_whole() {
    let bench = Bench::new().await;
    bench.file("a.yaml", "name: a\nclasses: [{key: A}]");
    bench.file("b.yaml", "name: b\nclasses: [{key: A}]");
    let problem = json!({ "status": 400, "code": "invalid_document", "detail": "2 violations",
        "errors": [{ "pointer": "/classes/0", "message": "odd\u{1b}[2J" }, { "pointer": "", "message": "more" }],
        "correlation_id": "c-7" });
    bench.server.answer("POST apply", 400, problem);
    let ran = bench.run("apply -f {}").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::FAILED, ""));
    let want = "error: apply: 2 violations (400, invalid_document)\n  /classes/0: odd\u{fffd}[2J\n  \
                /: more\n  correlation id: c-7\n";
    assert_eq!(ran.err, want);
}

#[tokio::test]
async fn asks_a_busy_server_again() {
    let bench = Bench::new().await;
    bench.server.put("packages/shop", json!({ "name": "shop" }));
    for (times, code) in [(2, exit::DONE), (4, exit::FAILED)] {
        for _ in 0..times {
            bench.server.answer("GET packages/shop", 503, json!({}));
        }
        let ran = bench.run("get package shop -o name").await;
        assert_eq!(ran.code, code, "{ran:?}");
    }
    assert_eq!(bench.server.requests("GET packages/shop").len(), 3 + 4);
}

const DONE: &str = r#"{"items": [
    {"kind": "Deployment", "name": "k", "outcome": "created", "generation": 1, "at": "/0"}]}"#;

#[tokio::test]
async fn repeats_a_write_whose_answer_was_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    // Takes each request whole; hangs up on the first push.
    let serving = tokio::spawn(async move {
        let mut n_pushes = 0;
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 64 * 1024];
            let n_bytes = socket.read(&mut buffer).await.unwrap();
            assert!(buffer[..n_bytes].starts_with(b"POST"));
            n_pushes += 1;
            if n_pushes == 1 {
                continue;
            }
            let (status, body) = ("200 OK", DONE);
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            return n_pushes;
        }
    });
    let environment = Environment { server: Some(server), ..Environment::default() };
    let document = "{key: k, package_name: p, class_key: C}";
    let ran = run_with("apply -f -", &environment, document).await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, "deployment/k created\n"), "{ran:?}");
    assert_eq!(serving.await.unwrap(), 2);
}

#[tokio::test]
async fn says_where_it_looked_for_a_server() {
    // Bound and let go: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let ran =
        run_with(&format!("get pkg --server http://127.0.0.1:{port}"), &Environment::default(), "")
            .await;
    assert_eq!(ran.code, exit::FAILED);
    let want =
        format!("error: no connection to the server http://127.0.0.1:{port}: Connection refused");
    assert!(ran.err.starts_with(&want), "{}", ran.err);
    assert!(ran.err.contains("--server, OPRC_SERVER or `oprc context set`"), "{}", ran.err);
}

#[tokio::test]
async fn unknown_contexts_are_failures() {
    let bench = Bench::new().await;
    for words in ["get packages --context gone", "context use gone", "context remove gone"] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, exit::FAILED, "{words}: {ran:?}");
        assert!(ran.err.contains("no context \"gone\"; there is: none"), "{words}: {ran:?}");
    }
    // Of a difference, any trouble is 2.
    bench.file("a.yaml", "{name: a, classes: [{key: A}]}");
    assert_eq!(bench.run("diff -f {}/a.yaml --context gone").await.code, exit::USAGE);
    assert_eq!(bench.server.requests(""), [""; 0]);
}

/// Serves one connection after the other: reads something, then answers with `bytes`.
async fn stranger(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(bytes).await;
        }
    });
    address.to_string()
}

const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";

#[tokio::test]
async fn another_program_on_the_port_is_named_with_its_address() {
    let address = stranger(NOT_FOUND).await;
    for words in ["get deployments", "delete package a --ignore-not-found", "get deployments -w"] {
        let words = format!("{words} --server http://{address}");
        let ran = run_with(&words, &Environment::default(), "").await;
        assert_eq!(ran.code, exit::FAILED, "{words}: {ran:?}");
        let want = format!(
            "the server http://{address} gave an answer that cannot be understood: 404 Not Found"
        );
        assert!(ran.err.contains(&want), "{words}: {ran:?}");
        assert!(ran.err.contains("is that the Package Manager's URL?"), "{words}: {ran:?}");
    }
}

#[tokio::test]
async fn the_wrong_scheme_is_named_with_the_right_one() {
    let plain = stranger(NOT_FOUND).await;
    let ran =
        run_with(&format!("get pkg --server https://{plain}"), &Environment::default(), "").await;
    let want =
        format!("error: the server https://{plain} does not speak TLS: try http://{plain}\n");
    assert!(ran.code == exit::FAILED && ran.err.starts_with(&want), "{ran:?}");

    // A TLS alert, as servers send it that read HTTP where they want a handshake; and servers that
    // answer in HTTP.
    for answer in [
        &b"\x15\x03\x01\x00\x02\x02\x46"[..],
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 46\r\nconnection: close\r\n\r\n\
          this port speaks TLS alone: want an https URL\n",
    ] {
        let tls = stranger(answer).await;
        let words = format!("get pkg --server http://{tls}");
        let ran = run_with(&words, &Environment::default(), "").await;
        let want = format!("error: the server http://{tls} speaks TLS alone: try https://{tls}\n");
        assert!(ran.code == exit::FAILED && ran.err.starts_with(&want), "{ran:?}");
    }
}

#[tokio::test]
async fn does_not_believe_what_is_no_package_manager() {
    let bench = Bench::new().await;
    bench.server.answer("GET packages", 200, json!("hello"));
    let ran = bench.run("get packages").await;
    assert_eq!(ran.code, exit::FAILED);
    assert!(ran.err.contains("a body of another shape"), "{}", ran.err);
}

/// A reader that takes nothing more, or a disk that is full.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_leaves_stops_no_work() {
    for (kind, code) in
        [(io::ErrorKind::BrokenPipe, exit::DONE), (io::ErrorKind::StorageFull, exit::FAILED)]
    {
        let bench = Bench::new().await;
        let mut input: &[u8] =
            b"{name: a, classes: [{key: A}]}\n---\n{name: b, classes: [{key: A}]}\n";
        let (mut out, mut err) = (Broken(kind), Vec::new());
        let mut io = Io {
            input: &mut input,
            out: Out::new(&mut out, Terminal::default()),
            err: Out::new(&mut err, Terminal::default()),
            now,
        };
        let ran = run(["oprc", "apply", "-f", "-"], &bench.environment(), &mut io).await;
        assert_eq!(ran, code, "{kind:?}");
        assert_eq!(bench.server.requests("POST").len(), 1, "{kind:?}");
        let told = String::from_utf8(err).unwrap();
        assert_eq!(told.contains("error"), code == exit::FAILED, "{told}");
    }
}
