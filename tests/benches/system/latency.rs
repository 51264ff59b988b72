//! From a POST to the CRM's being called, beyond what the store itself takes.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use oprc_cp_storage::{Op, Precondition, Revision, SharedStore, Txn, Write};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    documents::deployment,
    fake_crm::FakeCrm,
    load::Connection,
    process::Program,
    stores::{Kind, Place},
    table::{self, millis},
};

/// The two sides take turns of this many samples.
const ROUNDS: usize = 4;
const SAMPLES: usize = 100;

/// From one side's last sample to the other's first: what the Package Manager still writes down
/// meanwhile would be in the way of the bare store.
const REST: Duration = Duration::from_secs(3);

pub(crate) async fn run() {
    for kind in Kind::BOTH {
        let Some(place) = Place::new(kind).await else { continue };
        measure(&place, kind).await;
    }
}

/// The way has two writes that are delivered by a watch, the spec's and the unit's, so the store's
/// own part is two such.
async fn measure(place: &Place, kind: Kind) {
    let (crm, mut arrivals) = FakeCrm::start("east").await;
    let (pm, _) = Program::pm(place.variables(&[("east", crm.url())])).await;
    pm.until_connected("east").await;
    pm.push_package().await;
    let store = place.beside().await;
    let mut connection = Connection::open(pm.addr).await;

    let (mut whole, mut stores) = (Vec::new(), Vec::new());
    // The first round warms both up.
    for round in 0..=ROUNDS {
        sleep(REST).await;
        let keys: Vec<String> = (0..SAMPLES).map(|n| format!("cart-{round}-{n:06}")).collect();
        for key in &keys {
            let document = deployment(key, "east");
            let began = Instant::now();
            let (status, body) = connection.post("/api/v1/deployments", &document).await;
            assert_eq!(status, 201, "{}", String::from_utf8_lossy(body));
            let arrival = timeout(Duration::from_secs(30), arrivals.recv()).await;
            let (arrived, at) = arrival.expect("the CRM is called").unwrap();
            assert_eq!(arrived, *key);
            if round > 0 {
                whole.push(millis(at - began));
            }
        }
        sleep(REST).await;
        let alone = write_and_watch(&store, &keys).await;
        if round > 0 {
            stores.extend(alone.into_iter().map(millis));
        }
    }
    let name = kind.name();
    let store = table::median(&mut stores);
    let [median, p99] = [0.5, 0.99].map(|share| table::quantile(&mut whole, share));
    let measure = format!("POST to CRM call, {name}: median beyond the store's");
    table::at_most(&measure, median - store, "ms", 10.0);
    let measure = format!("POST to CRM call, {name}: p99 beyond the store's median");
    table::at_most(&measure, p99 - store, "ms", 50.0);
    let figure = format!("{median:.2}, {p99:.2} ms");
    table::row("— with the store: median, p99", &figure, "");
    let figure = format!("{store:.2}, {:.2} ms", table::quantile(&mut stores, 0.99));
    table::row("— the store alone, two writes and their delivery: median, p99", &figure, "");
}

/// The times of two writes, one after the other, each until a watch has delivered it, for each key.
///
/// One watch for all: etcd serves one that begins in the past late, every 100 ms.
async fn write_and_watch(store: &SharedStore, keys: &[String]) -> Vec<Duration> {
    let from = store.head().await.unwrap();
    let mut watch = store.watch("", Revision(from.0 + 1)).await.unwrap();
    let mut times = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let value = Bytes::from(deployment(key, "east"));
        let began = Instant::now();
        for part in ["deployments", "status/deployments"] {
            let write = Write {
                key: format!("{part}/{key}"),
                precondition: Precondition::Absent,
                op: Op::Put(value.clone()),
            };
            let txn = Txn { checks: Vec::new(), writes: vec![write] };
            let revision = store.txn(txn).await.unwrap();
            while watch.next().await.unwrap().unwrap().revision < revision {}
        }
        // The first few may wait for the watch to catch up.
        if n >= keys.len() / 10 {
            times.push(began.elapsed());
        }
    }
    times
}
