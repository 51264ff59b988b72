//! A thousand units behind a cluster that is down: how soon they are there once it is back, and
//! what was wasted on it meanwhile.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    documents::deployment,
    fake_crm::{FakeCrm, Fault},
    load::push_all,
    process::Program,
    stores::{Kind, Place},
    table,
};

const UNITS: usize = 1000;
const OUTAGE: Duration = Duration::from_secs(10);

pub(crate) async fn run() {
    for fault in Fault::ALL {
        let place = Place::new(Kind::Embedded).await.unwrap();
        measure(&place, fault).await;
    }
}

async fn measure(place: &Place, fault: Fault) {
    let (mut crm, mut arrivals) = FakeCrm::start("east").await;
    let (pm, _) = Program::pm(place.variables(&[("east", crm.url())])).await;
    pm.until_connected("east").await;
    pm.push_package().await;

    let failed_before = failed(&pm).await;
    crm.go_down(fault).await;
    let down = Instant::now();
    let documents = (0..UNITS).map(|n| deployment(&format!("cart-{n:06}"), "east")).collect();
    push_all(pm.addr, 64, documents).await;
    sleep(OUTAGE.saturating_sub(down.elapsed())).await;
    let n_failed = failed(&pm).await - failed_before;
    let seen = crm.come_back(fault).await;
    let healed = Instant::now();
    // Nothing can count what reaches a closed port, so there the caller's own count stands.
    let n_wasted = if fault == Fault::Refuses { n_failed } else { seen as f64 };

    let mut missing: BTreeSet<String> = (0..UNITS).map(|n| format!("cart-{n:06}")).collect();
    let (mut first, mut last) = (None, Duration::ZERO);
    while !missing.is_empty() {
        let arrival = timeout(Duration::from_secs(120), arrivals.recv()).await;
        let (deployment, at) = arrival.expect("every unit arrives").unwrap();
        missing.remove(&deployment);
        last = at.saturating_duration_since(healed);
        first.get_or_insert(last);
    }
    let measure = format!("1,000 units, CRM {} for 10 s: all there after", fault.name());
    table::at_most(&measure, last.as_secs_f64(), "s", 1.0);
    let first = first.unwrap_or_default().as_secs_f64();
    table::row("— of which until the first", &format!("{first:.2} s"), "");
    table::at_most("— calls wasted", n_wasted, "calls", 30.0);
}

/// Calls of the CRM that did not succeed.
async fn failed(pm: &Program) -> f64 {
    let all = pm.counter("oprc_pm_crm_calls_total", &[]).await;
    all - pm.counter("oprc_pm_crm_calls_total", &["outcome=\"ok\""]).await
}
