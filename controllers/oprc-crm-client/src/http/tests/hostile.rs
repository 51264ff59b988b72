//! Answers that no CRM should give, and none at all.

use super::{
    server::{Behaviour, Server},
    *,
};
use Behaviour::{Endless, Say, SayAndHang, SayAndReset, Silent};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const SSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

fn say(text: impl AsRef<str>) -> Behaviour {
    Say(text.as_ref().into())
}

/// Health, an application and a page from a server that does `behaviour`, within `ms`.
async fn check(behaviour: Behaviour, ms: u64, want: &str) {
    let server = Server::start(behaviour.clone()).await;
    let crm = hasty_crm(&[&server.url()], ms);
    let began = Instant::now();
    let errors = [
        crm.health(&caller()).await.err(),
        crm.apply(&caller(), &unit()).await.err(),
        crm.list(&caller(), None, 5).await.err(),
    ];
    let outcomes = errors.each_ref().map(|err| err.as_ref().map(CallError::outcome));
    assert_eq!(outcomes, [Some(want); 3], "{behaviour:?}: {errors:?}");
    let most = Duration::from_millis(3 * ms) + Duration::from_secs(2);
    assert!(began.elapsed() < most, "{behaviour:?} took {:?}", began.elapsed());
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let body = |body: &str| say(format!("{OK}content-length: {}\r\n\r\n{body}", body.len()));
    for behaviour in [
        say(""),
        say("no HTTP at all\r\n\r\n"),
        say("HTTP/1.1 999999 ?\r\n\r\n"),
        say("\0\0\0\0"),
        body(""),
        body("<html>welcome</html>"),
        body("{\"cluster_name\": \"east\", \"id\": \"a\", \"items\": ["),
        body("{\"cluster_name\": 7, \"id\": [], \"items\": {}}"),
        body("\u{feff}\u{0}\u{fffd}"),
        say(format!("{OK}content-length: 100\r\n\r\n{{}}")),
        say(format!("{OK}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}")),
        say(format!("{OK}content-encoding: gzip\r\ncontent-length: 2\r\n\r\nab")),
        SayAndReset(format!("{OK}content-length: 100\r\n\r\n{{").into()),
        SayAndReset(Vec::new()),
    ] {
        check(behaviour, 20_000, "unanswered").await;
    }
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    check(Silent, 200, "unanswered").await;
    check(SayAndHang(OK.into()), 200, "unanswered").await;
    let unfinished = format!("{OK}content-length: 9\r\n\r\n{{");
    check(SayAndHang(unfinished.into()), 200, "unanswered").await;
}

/// The status counts even if the body that explains it never ends.
#[tokio::test]
async fn refusal_with_a_hanging_or_endless_body_is_a_refusal() {
    let head = "HTTP/1.1 422 No\r\ncontent-length: 1000000000\r\n\r\n";
    check(Endless(head.into(), vec![b'x'; 65_536]), 20_000, "refused").await;
    check(SayAndHang(head.into()), 200, "refused").await;
}

#[tokio::test]
async fn gigabyte_is_not_read() {
    let announced = format!("{OK}content-length: 1000000000\r\n\r\n");
    let unannounced = format!("{OK}\r\n");
    for head in [announced, unannounced] {
        let server = Server::start(Endless(head.into(), vec![b' '; 65_536])).await;
        let crm = crm(&[&server.url()]);
        assert_eq!(crm.health(&caller()).await.unwrap_err().outcome(), "unanswered");
        assert_eq!(crm.list(&caller(), None, 5).await.unwrap_err().outcome(), "unanswered");
        // What was read, and what the sockets' buffers took.
        let n_written = *server.n_written.lock();
        assert!(n_written < 2 * MAX_PAGE_BYTES as u64 + 32_000_000, "{n_written} bytes");
    }
}

#[tokio::test]
async fn headers_have_a_limit() {
    let head = format!("{OK}x-more: ");
    check(Endless(head.into(), vec![b'x'; 65_536]), 20_000, "unanswered").await;
    check(Endless(OK.into(), b"x-more: x\r\n".to_vec()), 20_000, "unanswered").await;
}

#[tokio::test]
async fn watch_with_an_endless_line_or_event_ends() {
    for again in [vec![b'x'; 65_536], b"data: xxxxxxxxxxxxxxxx\n".repeat(1_000)] {
        let server = Server::start(Endless(SSE.into(), again)).await;
        let mut events = crm(&[&server.url()]).watch(&caller(), 9).await.unwrap();
        let event = events.next().await.unwrap();
        assert_eq!(event.unwrap_err().outcome(), "unanswered");
        assert!(events.next().await.is_none(), "nothing comes after an error");
    }
}

#[tokio::test]
async fn watch_that_falls_silent_ends() {
    let bookmark = "data: {\"type\": \"BOOKMARK\", \"revision\": 1}\n\n";
    let head = [SSE, bookmark.as_bytes()].concat();
    let server = Server::start(SayAndHang(head)).await;
    let mut events = crm(&[&server.url()]).watch(&caller(), 9).await.unwrap();
    assert!(events.next().await.unwrap().is_ok());
    tokio::time::pause();
    let began = Instant::now();
    assert_eq!(events.next().await.unwrap().unwrap_err().outcome(), "unanswered");
    assert!(began.elapsed() <= Duration::from_secs(46), "{:?}", began.elapsed());
}

#[tokio::test]
async fn watch_that_is_cut_ends_with_an_error() {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n: a";
    let server = Server::start(SayAndReset(head.to_vec())).await;
    let mut events = crm(&[&server.url()]).watch(&caller(), 9).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap_err().outcome(), "unanswered");
}

/// An address that refuses connections.
async fn closed() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn no_connection_is_certainly_not_carried_out() {
    let name = "http://no-such-host.invalid".to_owned();
    for endpoint in [closed().await, name] {
        let err = crm(&[&endpoint]).apply(&caller(), &unit()).await.unwrap_err();
        assert_eq!(err.outcome(), "unreachable", "{endpoint}: {err:?}");
        assert!(!err.may_have_been_done() && err.counts_against_breaker());
    }
}

/// Applies to the endpoints `a` and `b` twice; `want` is both outcomes.
async fn check_two(a: &str, b: &str, ms: u64, want: [&str; 2]) {
    let crm = hasty_crm(&[a, b], ms);
    for (n, want) in want.into_iter().enumerate() {
        let result = crm.apply(&caller(), &unit()).await;
        let got = result.as_ref().map_or_else(CallError::outcome, |_| "ok");
        assert_eq!(got, want, "call {n}: {result:?}");
    }
}

#[tokio::test]
async fn other_endpoints_are_tried_in_turn() {
    let refusing = mock(ResponseTemplate::new(422)).await;
    let failing = mock(ResponseTemplate::new(500)).await;
    let away = mock(ResponseTemplate::new(503)).await;
    let silent = Server::start(Silent).await;
    let closed = closed().await;
    let refusing = refusing.uri();

    check_two(&closed, &failing.uri(), 9_000, ["unanswered", "unanswered"]).await;
    check_two(&failing.uri(), &closed, 9_000, ["unanswered", "unanswered"]).await;
    check_two(&closed, &closed, 9_000, ["unreachable", "unreachable"]).await;
    check_two(&closed, &refusing, 9_000, ["refused", "refused"]).await;
    // What came before the refusal may have been carried out; the next call hears it alone.
    check_two(&failing.uri(), &refusing, 9_000, ["unanswered", "refused"]).await;
    // The timeout is the call's, not the attempt's; the next call begins with the other.
    check_two(&silent.url(), &refusing, 300, ["unanswered", "refused"]).await;
    check_two(&away.uri(), &refusing, 9_000, ["unanswered", "refused"]).await;
}

#[tokio::test]
async fn endpoint_that_last_answered_goes_first() {
    let good = mock(ResponseTemplate::new(200).set_body_json(response())).await;
    let failing = mock(ResponseTemplate::new(500)).await;
    check_two(&failing.uri(), &good.uri(), 9_000, ["ok", "ok"]).await;
    assert_eq!(failing.received_requests().await.unwrap().len(), 1, "asked once, then no more");
    check_two(&closed().await, &good.uri(), 9_000, ["ok", "ok"]).await;
}
