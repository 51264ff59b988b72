//! A thousand watchers, each told of a thousand changes.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    load::Connection,
    process::Program,
    stores::{Kind, Place},
    table,
};

const WATCHERS: usize = 1000;
const CHANGES: usize = 1000;
const EVENTS: &str = "oprc_pm_watch_events_total";
/// Longer than it should take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn run() {
    for kind in Kind::BOTH {
        let Some(place) = Place::new(kind).await else { continue };
        measure(&place, kind).await;
    }
}

async fn measure(place: &Place, kind: Kind) {
    let (pm, _) = Program::pm(place.variables(&[])).await;
    pm.push_package().await;
    let name = kind.name();
    // Once without anybody who watches: what the changes alone take.
    let alone = change(&pm, 0).await;
    let (cpu, memory) = (pm.cpu(), pm.resident_bytes());
    let (said, mut heard) = mpsc::channel(WATCHERS);
    let mut watchers = JoinSet::new();
    // One after the other: the server turns away what comes all at once.
    for _ in 0..WATCHERS {
        watchers.spawn(watch(pm.addr, said.clone()));
        heard.recv().await.unwrap();
    }
    let idle = pm.resident_bytes();
    let before = pm.counter(EVENTS, &[]).await;
    let began = Instant::now();
    let watched = change(&pm, CHANGES).await;
    for _ in 0..WATCHERS {
        let all_told = timeout(PATIENCE, heard.recv()).await;
        all_told.expect("every watcher is told of every change").unwrap();
    }
    let took = began.elapsed().as_secs_f64();
    let n_events = pm.counter(EVENTS, &[]).await - before;
    let rate = format!("{:.0} events/s ({n_events:.0} in {took:.1} s)", n_events / took);
    table::row(&format!("{WATCHERS} watchers of {CHANGES} changes, {name}"), &rate, "");
    let each = |bytes: u64| bytes.saturating_sub(memory) as f64 / 1024.0 / WATCHERS as f64;
    let figure = format!("{:.1}, {:.1} KiB", each(idle), each(pm.resident_bytes()));
    table::row("— memory for each watcher: before the changes, after them", &figure, "");
    let micros = (pm.cpu() - cpu).as_secs_f64() * 1e6 / n_events;
    table::row("— processor time of the server for each event", &format!("{micros:.1} µs"), "");
    let figure = format!("{alone:.1}, {watched:.1} s");
    table::row("— making the changes: unwatched, watched", &figure, "");
    let cut = pm.counter("oprc_pm_watchers_cut_total", &[]).await;
    table::row("— watchers cut off", &format!("{cut:.0}"), "0");
}

/// Replaces one deployment [`CHANGES`] times, one after the other; answers the seconds.
async fn change(pm: &Program, first: usize) -> f64 {
    let mut connection = Connection::open(pm.addr).await;
    let began = Instant::now();
    for n in first..first + CHANGES {
        let body = format!(
            r#"{{"key":"watched","package_name":"shop","class_key":"Cart","labels":{{"n":"{n}"}}}}"#
        );
        let (status, body) = connection.put("/api/v1/deployments/watched", &body).await;
        assert!(matches!(status, 200 | 201), "{status}: {}", String::from_utf8_lossy(body));
    }
    began.elapsed().as_secs_f64()
}

/// Says when it watches, and when it has been told of the last change.
async fn watch(addr: SocketAddr, said: mpsc::Sender<()>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = "GET /api/v1/deployments?watch=true HTTP/1.1\r\nhost: pm\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    until(&mut stream, b"initial_complete").await;
    said.send(()).await.unwrap();
    let last = format!("\"n\":\"{}\"", 2 * CHANGES - 1);
    until(&mut stream, last.as_bytes()).await;
    said.send(()).await.unwrap();
    // Open until it is dropped with all others, so that their memory is seen.
    std::future::pending::<()>().await;
}

/// Reads until `needle` has come.
async fn until(stream: &mut TcpStream, needle: &[u8]) {
    let (mut buffer, mut n_kept) = (vec![0_u8; 16 << 10], 0);
    loop {
        let n_read = stream.read(&mut buffer[n_kept..]).await.unwrap();
        assert!(n_read > 0, "the watch ended");
        let text = &buffer[..n_kept + n_read];
        if text.windows(needle.len()).any(|part| part == needle) {
            return;
        }
        // It may have been cut in two.
        let from = text.len().saturating_sub(needle.len() - 1);
        let end = text.len();
        buffer.copy_within(from..end, 0);
        n_kept = end - from;
    }
}
