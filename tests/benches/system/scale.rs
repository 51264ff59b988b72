//! Ten thousand deployments on three CRMs: how fast, how large, how quiet, and how soon back.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    documents::deployment,
    load::{Connection, push_all},
    process::Program,
    stores::{Kind, Place},
    table,
};

const DEPLOYMENTS: usize = 10_000;
const CLUSTERS: [&str; 3] = ["east", "north", "west"];
const IDLE: Duration = Duration::from_secs(30);

pub(crate) async fn run() {
    for kind in Kind::BOTH {
        let Some(place) = Place::new(kind).await else { continue };
        measure(&place, kind).await;
    }
}

async fn measure(place: &Place, kind: Kind) {
    let name = kind.name();
    let mut crms = Vec::new();
    for cluster in CLUSTERS {
        crms.push(Program::crm(cluster).await);
    }
    let urls: Vec<_> = CLUSTERS
        .iter()
        .zip(&crms)
        .map(|(cluster, crm)| (*cluster, format!("http://{}", crm.addr)))
        .collect();
    let (pm, _) = Program::pm(place.variables(&urls)).await;
    for cluster in CLUSTERS {
        pm.until_connected(cluster).await;
    }
    pm.push_package().await;
    let bytes_before = pm.resident_bytes();

    let keys = || (0..DEPLOYMENTS).map(|n| format!("cart-{n:06}"));
    let documents = keys().zip(CLUSTERS.iter().cycle());
    let documents = documents.map(|(key, cluster)| deployment(&key, cluster)).collect();
    let (began, cpu_before) = (Instant::now(), pm.cpu());
    let pushed = push_all(pm.addr, 64, documents).await;
    until_running(&pm, keys()).await;
    let took = began.elapsed();
    let cpu = pm.cpu() - cpu_before;

    let rate = DEPLOYMENTS as f64 / took.as_secs_f64();
    let measure = format!("10,000 deployments on 3 CRMs to RUNNING, {name}");
    let figure = format!("{rate:.0} units/s (pushed in {:.1} s)", pushed.as_secs_f64());
    table::row(&measure, &figure, "");
    let micros = cpu.as_secs_f64() * 1e6 / DEPLOYMENTS as f64;
    table::row("— processor time of oprc-pm for each", &format!("{micros:.0} µs"), "");

    // What is being freed or folded away has the time to be.
    sleep(Duration::from_secs(5)).await;
    let bytes = pm.resident_bytes().saturating_sub(bytes_before) as f64;
    let kib = bytes / DEPLOYMENTS as f64 / 1024.0;
    table::at_most("— memory for each, afterwards", kib, "KiB", 10.0);
    let cpu_before = pm.cpu();
    sleep(IDLE).await;
    let share = (pm.cpu() - cpu_before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    table::at_most("— processor in use while idle", share, "% of a core", 2.0);

    pm.stop().await;
    let (pm, ready) = Program::pm(place.variables(&urls)).await;
    table::at_most("— ready after a restart", ready.as_secs_f64(), "s", 2.0);
    for cluster in CLUSTERS {
        pm.until_connected(cluster).await;
    }
    sleep(Duration::from_secs(10)).await;
    let kib = pm.resident_bytes().saturating_sub(bytes_before) as f64;
    let kib = kib / DEPLOYMENTS as f64 / 1024.0;
    table::at_most("— memory for each, after the restart", kib, "KiB", 10.0);
}

/// Waits until every one runs, looking at one after the other: a list of all of them, over and
/// over, would be a load of its own.
async fn until_running(pm: &Program, keys: impl Iterator<Item = String>) {
    let mut connection = Connection::open(pm.addr).await;
    let began = Instant::now();
    for key in keys {
        let path = format!("/api/v1/deployment-status/{key}?consistency=cached");
        loop {
            let (status, body) = connection.get(&path).await;
            if status == 200 && contains(body, b"\"condition\":\"RUNNING\"") {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(300), "{key} does not run");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether the answer's first condition, which is the deployment's own, is the one that is sought.
fn contains(body: &[u8], sought: &[u8]) -> bool {
    let first = body.windows(13).position(|window| window == b"\"condition\":\"");
    first.is_some_and(|start| body[start..].starts_with(sought))
}
