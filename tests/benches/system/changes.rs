//! A hundred thousand changes while nobody carries them out: what they leave in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    documents::deployment,
    fake_crm::FakeCrm,
    load::{Connection, push_all},
    process::Program,
    stores::{Kind, Place},
    table::{self, millis},
};

const CHANGES: usize = 100_000;
const DEPLOYMENTS: usize = 1000;
const CLIENTS: usize = 32;

/// How long the CRM thinks about each call, so that its queue is never empty.
const SLOWNESS: Duration = Duration::from_secs(5);

/// Between two reads by a bystander.
const PACE: Duration = Duration::from_millis(20);

pub(crate) async fn run() {
    let place = Place::new(Kind::Embedded).await.unwrap();
    // Nobody asks when what came.
    let (crm, _) = FakeCrm::start("east").await;
    let (pm, _) = Program::pm(place.variables(&[("east", crm.url())])).await;
    pm.until_connected("east").await;
    pm.push_package().await;
    let key = |n: usize| format!("cart-{:06}", n % DEPLOYMENTS);
    push_all(pm.addr, CLIENTS, (0..DEPLOYMENTS).map(|n| deployment(&key(n), "east")).collect())
        .await;
    sleep(Duration::from_secs(5)).await;
    crm.be_slow(SLOWNESS);
    let before = pm.resident_bytes();

    let (began, next) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (addr, next) = (pm.addr, Arc::clone(&next));
        clients.spawn(async move {
            let mut connection = Connection::open(addr).await;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= CHANGES {
                    return;
                }
                change(&mut connection, &key(n), n).await;
            }
        });
    }
    let (mut reads, mut most) = (Vec::new(), 0);
    let mut connection = Connection::open(pm.addr).await;
    while next.load(Ordering::Relaxed) < CHANGES {
        let asked = Instant::now();
        let (status, _) = connection.get("/api/v1/deployments/cart-000000").await;
        assert_eq!(status, 200);
        reads.push(millis(asked.elapsed()));
        most = most.max(pm.resident_bytes());
        sleep(PACE).await;
    }
    clients.join_all().await;
    let rate = CHANGES as f64 / began.elapsed().as_secs_f64();

    let mib = |bytes: u64| bytes.saturating_sub(before) as f64 / (1024.0 * 1024.0);
    let measure = "100,000 changes of 1,000 deployments, CRM takes 5 s: memory grown by";
    table::at_most(measure, mib(most), "MiB", 128.0);
    let figure = format!("{:.1} MiB", mib(pm.resident_bytes()));
    table::row("— of which at the end", &figure, "");
    table::row("— changes", &format!("{rate:.0}/s"), "");
    let [median, p99] = [0.5, 0.99].map(|share| table::quantile(&mut reads, share));
    table::row("— a read meanwhile: median, p99", &format!("{median:.1}, {p99:.1} ms"), "");
}

/// Changes the deployment `key` to something that its CRM has to be told.
async fn change(connection: &mut Connection, key: &str, n: usize) {
    let rate = format!("\"min_throughput_rps\":{}", n + 1);
    let body = deployment(key, "east").replace("\"min_throughput_rps\":200", &rate);
    let request = format!(
        "PUT /api/v1/deployments/{key} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    loop {
        match connection.send(&request).await {
            (200, _) => return,
            // Another client changes the same one: ask again.
            (409 | 429, _) => sleep(PACE).await,
            (status, body) => panic!("{status}: {}", String::from_utf8_lossy(body)),
        }
    }
}
