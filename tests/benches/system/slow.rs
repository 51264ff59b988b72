//! One CRM of a hundred thinks for five seconds about each call: what the other ninety-nine notice.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    documents::deployment,
    fake_crm::{Arrival, FakeCrm},
    load::Connection,
    process::Program,
    stores::{Kind, Place},
    table::{self, millis},
};

const CRMS: usize = 100;
const SLOWNESS: Duration = Duration::from_secs(5);

/// The two sides take turns of this many samples.
const ROUNDS: usize = 8;
const SAMPLES: usize = 200;

/// Units that the slow one is given in each of its turns: more than it may have under way at once.
const BACKLOG: usize = 24;

/// From one turn to the next.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn run() {
    let place = Place::new(Kind::Embedded).await.unwrap();
    let (sender, mut arrivals) = mpsc::unbounded_channel();
    let names: Vec<String> = (0..CRMS).map(|n| format!("c-{n:03}")).collect();
    let mut crms = Vec::new();
    for name in &names {
        crms.push(FakeCrm::telling(name, sender.clone()).await);
    }
    let urls: Vec<(&str, String)> =
        names.iter().zip(&crms).map(|(name, crm)| (name.as_str(), crm.url())).collect();
    let (pm, _) = Program::pm(place.variables(&urls)).await;
    for name in &names {
        pm.until_connected(name).await;
    }
    pm.push_package().await;
    let mut connection = Connection::open(pm.addr).await;
    let [slow_name, others @ ..] = names.as_slice() else { return };

    let (mut quick, mut slow) = (Vec::new(), Vec::new());
    // The first round warms everything up.
    for round in 0..=ROUNDS {
        for delay in [Duration::ZERO, SLOWNESS] {
            sleep(REST).await;
            crms[0].be_slow(delay);
            let mut n_backlog = 0;
            if !delay.is_zero() {
                for n in 0..BACKLOG {
                    let key = format!("slow-{round}-{n}");
                    post(&mut connection, &key, slow_name).await;
                    n_backlog += 1;
                }
                // Until some are under way.
                sleep(REST).await;
            }
            let times = if delay.is_zero() { &mut quick } else { &mut slow };
            for n in 0..SAMPLES {
                let key = format!("cart-{round}-{}-{n:04}", delay.as_secs());
                let began = Instant::now();
                post(&mut connection, &key, &others[n % others.len()]).await;
                let at = arrival(&mut arrivals, |arrived| arrived == key, &mut n_backlog).await;
                if round > 0 {
                    times.push(millis(at - began));
                }
            }
            crms[0].be_slow(Duration::ZERO);
            while n_backlog > 0 {
                arrival(&mut arrivals, |_| true, &mut n_backlog).await;
            }
        }
    }
    // What the machine alone makes of it: the quick turns against each other.
    let is_odd = |n: usize| (n / SAMPLES) % 2 == 1;
    let half = |wants_odd: bool| {
        let those = quick.iter().enumerate().filter(|(n, _)| is_odd(*n) == wants_odd);
        let mut those: Vec<f64> = those.map(|(_, time)| *time).collect();
        table::quantile(&mut those, 0.99)
    };
    let noise = (half(true) / half(false) - 1.0) * 100.0;
    let p99 = [&mut quick, &mut slow].map(|times| table::quantile(times, 0.99));
    let median = [&mut quick, &mut slow].map(|times| table::median(times));
    let moved = (p99[1] / p99[0] - 1.0) * 100.0;
    table::at_most("one CRM of 100 takes 5 s: p99 of the others' calls moves by", moved, "%", 10.0);
    table::row(
        "— between the halves of the turns in which all are quick",
        &format!("{noise:.1} %"),
        "",
    );
    let figure = format!("{:.2}, {:.2} ms", median[0], p99[0]);
    table::row("— POST to CRM call, all quick: median, p99", &figure, "");
    let figure = format!("{:.2}, {:.2} ms", median[1], p99[1]);
    table::row("— the same, one slow: median, p99", &figure, "");
}

async fn post(connection: &mut Connection, key: &str, cluster: &str) {
    let (status, body) = connection.post("/api/v1/deployments", &deployment(key, cluster)).await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(body));
}

/// When the next unit came that `is_it`; those of the slow CRM's backlog that came meanwhile are
/// counted off.
async fn arrival(
    arrivals: &mut mpsc::UnboundedReceiver<Arrival>,
    is_it: impl Fn(&str) -> bool,
    n_backlog: &mut usize,
) -> Instant {
    loop {
        let arrival = timeout(Duration::from_secs(60), arrivals.recv()).await;
        let (arrived, at) = arrival.expect("the CRM is called").unwrap();
        let is_backlog = arrived.starts_with("slow-");
        *n_backlog = n_backlog.saturating_sub(usize::from(is_backlog));
        if is_it(&arrived) {
            return at;
        }
        assert!(is_backlog, "{arrived} came out of turn");
    }
}
