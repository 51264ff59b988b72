//! Five thousand documents in one push, beside the same pushed one by one.

use tokio::time::Instant;

use crate::{
    documents::{PACKAGE, deployment},
    load::{Connection, push_all},
    process::{Program, free_addr},
    stores::{Kind, Place},
    table,
};

const DOCUMENTS: usize = 5000;
const CLIENTS: usize = 64;

pub(crate) async fn run() {
    for kind in Kind::BOTH {
        let Some(place) = Place::new(kind).await else { continue };
        measure(&place, kind.name()).await;
    }
}

async fn measure(place: &Place, name: &str) {
    // A cluster that is registered, and nothing behind it: its units wait.
    let crms = [("east", format!("http://{}", free_addr()))];
    let (pm, _) = Program::pm(place.variables(&crms)).await;
    pm.push_package().await;

    let singles = (0..DOCUMENTS).map(|n| deployment(&format!("single-{n:05}"), "east"));
    let took = push_all(pm.addr, CLIENTS, singles.collect()).await.as_secs_f64();
    let singly = DOCUMENTS as f64 / took;
    pm.until_idle().await;

    let bundle = bundle(0..DOCUMENTS);
    let (cpu, memory) = (pm.cpu(), pm.resident_bytes());
    let together = DOCUMENTS as f64 / apply(&pm, "bundle=shop", &bundle).await;
    let micros = (pm.cpu() - cpu).as_secs_f64() * 1e6 / DOCUMENTS as f64;
    pm.until_idle().await;
    let measure =
        format!("apply of {DOCUMENTS} documents, {name}, against {CLIENTS} clients one by one");
    let ratio = together / singly;
    table::row(&measure, &format!("{ratio:.2} ({together:.0}/s against {singly:.0}/s)"), "");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    table::row("— size of the push", &format!("{:.1} MiB", mib(bundle.len() as u64)), "");
    let figure = format!("{micros:.0} µs");
    table::row("— processor time of oprc-pm for each until it is answered", &figure, "");
    let peak = pm.peak_bytes().saturating_sub(memory);
    table::row("— memory at its highest, beyond before", &format!("{:.0} MiB", mib(peak)), "");
    let again = apply(&pm, "bundle=shop", &bundle).await;
    table::row("— the same once more, nothing changed", &format!("{again:.2} s"), "");
    let fewer = self::bundle(0..DOCUMENTS / 2);
    let previewed = apply(&pm, "bundle=shop&prune=true&dry_run=true", &fewer).await;
    table::row("— a dry run that would remove half", &format!("{previewed:.2} s"), "");
    let pruned = apply(&pm, "bundle=shop&prune=true", &fewer).await;
    table::row("— a push that removes half", &format!("{pruned:.2} s"), "");
}

/// The package and deployments `numbers`.
fn bundle(numbers: std::ops::Range<usize>) -> String {
    let deployments = numbers.map(|n| deployment(&format!("bundled-{n:05}"), "east"));
    let documents: Vec<String> =
        std::iter::once(PACKAGE.to_owned()).chain(deployments.skip(1)).collect();
    format!("[{}]", documents.join(","))
}

/// Pushes all of `body` at once; answers the seconds until it was answered.
async fn apply(pm: &Program, parameters: &str, body: &str) -> f64 {
    let mut connection = Connection::open(pm.addr).await;
    let began = Instant::now();
    let (status, answer) = connection.post(&format!("/api/v1/apply?{parameters}"), body).await;
    assert!(matches!(status, 200 | 201), "{status}: {}", String::from_utf8_lossy(answer));
    began.elapsed().as_secs_f64()
}
