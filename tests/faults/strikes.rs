//! What is done to the system while clients are at work. Each strikes at least once, goes on until
//! its time is over, shows that it struck, and ends with everything mended: every process runs and
//! every way is open.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    load::{self, CLUSTERS},
    ring::Ring,
};
use crate::support::{Answer, Api, document, eventually, eventually_within};

/// A document that the clients do not know.
const PROBE: &str = "probe";

/// Puts a new version of the document that the clients do not know.
async fn put_probe(api: &Api) -> (String, Answer) {
    let mark = load::next_mark().to_string();
    let mut document = document(PROBE, &CLUSTERS);
    document["labels"] = json!({"mark": mark});
    (mark, api.put(&format!("/api/v1/deployments/{PROBE}"), &document).await)
}

/// Waits until the replica says that it cannot do its work.
async fn is_not_ready(api: &Api) {
    eventually("not ready", || async {
        let answer = api.get("/readyz").await;
        if answer.status == 503 { Ok(()) } else { Err(answer) }
    })
    .await;
}

/// Waits until every member of etcd serves writes again.
async fn etcd_serves(ring: &Ring) {
    eventually("etcd serves", || async {
        for node in 0..3 {
            let mut client = ring.node_client(node).await.map_err(|err| format!("{err:?}"))?;
            client.put("/elsewhere", "", None).await.map_err(|err| format!("{err:?}"))?;
        }
        Ok::<(), String>(())
    })
    .await;
}

pub(crate) async fn etcd_leader_killed(ring: &mut Ring, until: Instant) {
    loop {
        let old = ring.etcd_leader(None).await;
        ring.nodes().kill(old);
        assert_ne!(ring.etcd_leader(Some(old)).await, old);
        sleep(ring.pace.outage).await;
        ring.nodes().restart(old).await;
        if Instant::now() >= until {
            break;
        }
        etcd_serves(ring).await;
    }
}

pub(crate) async fn etcd_leader_paused(ring: &mut Ring, until: Instant) {
    loop {
        let old = ring.etcd_leader(None).await;
        ring.nodes().pause(old);
        assert_ne!(ring.etcd_leader(Some(old)).await, old);
        sleep(ring.pace.outage).await;
        ring.nodes().resume(old);
        if Instant::now() >= until {
            break;
        }
        etcd_serves(ring).await;
        sleep(ring.pace.outage).await;
    }
}

/// First the leader alone, which clients still reach; then the first two of three, so that there is
/// no quorum.
pub(crate) async fn etcd_nodes_cut_off(ring: &mut Ring, until: Instant) {
    loop {
        let old = ring.etcd_leader(None).await;
        ring.cut_off(old);
        assert_ne!(ring.etcd_leader(Some(old)).await, old);
        sleep(ring.pace.outage).await;
        ring.mend(old);
        etcd_serves(ring).await;

        ring.cut_off(0);
        ring.cut_off(1);
        eventually("writes are refused", || async {
            let (_, answer) = put_probe(&ring.replicas[0].api).await;
            if answer.status == 503 { Ok(()) } else { Err(answer) }
        })
        .await;
        sleep(ring.pace.outage).await;
        ring.mend(0);
        ring.mend(1);
        if Instant::now() >= until {
            break;
        }
        etcd_serves(ring).await;
    }
}

/// The same, of containers that are taken off their network.
pub(crate) async fn etcd_containers_cut_off(ring: &mut Ring, until: Instant) {
    etcd_nodes_cut_off(ring, until).await;
}

pub(crate) async fn etcd_restarted_whole(ring: &mut Ring, until: Instant) {
    loop {
        ring.nodes().restart_all().await;
        if Instant::now() >= until {
            break;
        }
        sleep(ring.pace.outage * 2).await;
    }
}

pub(crate) async fn etcd_compacted_and_defragmented(ring: &mut Ring, until: Instant) {
    let mut last = 0;
    loop {
        for node in 0..3 {
            let mut client = ring.operator(node).await;
            let header = client.get("/elsewhere", None).await.unwrap().take_header();
            let revision = header.unwrap().revision();
            if revision > last {
                let options = CompactionOptions::new().with_physical();
                client.compact(revision, Some(options)).await.unwrap();
                last = revision;
            }
            // A member that is compacting may refuse for a while.
            eventually("defragmented", || {
                let mut client = client.clone();
                async move { client.defragment().await.map_err(|err| format!("{err:?}")) }
            })
            .await;
        }
        if Instant::now() >= until {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert!(last > 0, "nothing was compacted");
}

/// The quota of [`etcd_filled`], in bytes.
pub(crate) const QUOTA_ARG: &str = "--quota-backend-bytes=67108864";

const BALLAST: &str = "/ballast/";
const BALLAST_BYTES: usize = 1 << 20;

/// Fills etcd to its quota; writes are refused as full, reads and deletions go on; then room is
/// made, as an operator would.
pub(crate) async fn etcd_filled(ring: &mut Ring, until: Instant) {
    loop {
        let mut client = ring.operator(0).await;
        let mut n_written = 0;
        loop {
            let key = format!("{BALLAST}{n_written}");
            let put = client.put(key, vec![0; BALLAST_BYTES], None).await;
            // Anything else, an election for example, passes.
            if put.is_err_and(|err| err.to_string().contains("space exceeded")) {
                break;
            }
            n_written += 1;
            assert!(n_written < 300, "it is never full");
        }
        let api = &ring.replicas[0].api;
        eventually("writes are refused as full", || async {
            let (_, answer) = put_probe(api).await;
            let is_full = answer.status == StatusCode::INSUFFICIENT_STORAGE;
            if is_full && answer.body["code"] == "store_full" { Ok(()) } else { Err(answer) }
        })
        .await;
        sleep(ring.pace.outage).await;
        let read = api.get("/api/v1/packages/shop").await;
        assert_eq!(read.status, 200, "reads go on: {read:?}");
        make_room(ring, &mut client).await;
        if Instant::now() >= until {
            break;
        }
        sleep(ring.pace.outage).await;
    }
}

async fn make_room(ring: &Ring, client: &mut Client) {
    let options = etcd_client::DeleteOptions::new().with_prefix();
    let deleted = client.delete(BALLAST, Some(options)).await.unwrap();
    let revision = deleted.header().unwrap().revision();
    let options = CompactionOptions::new().with_physical();
    client.compact(revision, Some(options)).await.unwrap();
    for node in 0..3 {
        ring.operator(node).await.defragment().await.unwrap();
    }
    eventually("no alarm", || {
        let mut client = client.clone();
        async move {
            let found = client.alarm(AlarmAction::Get, AlarmType::None, None).await;
            let found = found.map_err(|err| format!("{err:?}"))?;
            for alarm in found.alarms() {
                let mut options = AlarmOptions::new();
                options.with_member(alarm.member_id());
                let ended = client.alarm(AlarmAction::Deactivate, alarm.alarm(), Some(options));
                ended.await.map_err(|err| format!("{err:?}"))?;
            }
            if found.alarms().is_empty() { Ok(()) } else { Err("alarms were raised".to_owned()) }
        }
    })
    .await;
}

pub(crate) async fn leading_replica_killed(ring: &mut Ring, until: Instant) {
    /// At most so often.
    const EVERY: Duration = Duration::from_secs(10);
    let mut term = 0;
    loop {
        let (leader, of_term) = ring.leader_after(term).await;
        term = of_term;
        let next = Instant::now() + EVERY;
        ring.replicas[leader].process.kill();
        let (successor, _) = ring.leader_after(term).await;
        assert_ne!(successor, leader);
        ring.restart(leader);
        if Instant::now() >= until {
            break;
        }
        ring.is_ready(leader).await;
        sleep_until(next.min(until)).await;
    }
}

pub(crate) async fn leading_replica_paused(ring: &mut Ring, until: Instant) {
    let mut term = 0;
    loop {
        let (leader, of_term) = ring.leader_after(term).await;
        ring.replicas[leader].process.pause();
        let (successor, next) = ring.leader_after(of_term).await;
        assert_ne!(successor, leader);
        term = next - 1;
        sleep(ring.pace.outage).await;
        ring.replicas[leader].process.resume();
        if Instant::now() >= until {
            break;
        }
        ring.is_ready(leader).await;
        sleep(ring.pace.outage).await;
    }
}

pub(crate) async fn leading_replica_cut_off_from_etcd(ring: &mut Ring, until: Instant) {
    let mut term = 0;
    loop {
        let (leader, of_term) = ring.leader_after(term).await;
        let replica = &ring.replicas[leader];
        replica.to_etcd.cut();
        let (successor, next) = ring.leader_after(of_term).await;
        assert_ne!(successor, leader);
        term = next - 1;
        is_not_ready(&replica.api).await;
        sleep(ring.pace.outage).await;
        replica.to_etcd.mend();
        if Instant::now() >= until {
            break;
        }
        ring.is_ready(leader).await;
    }
}

pub(crate) async fn leading_replica_cut_off_from_crms(ring: &mut Ring, until: Instant) {
    loop {
        let (leader, _) = ring.leader_after(0).await;
        ring.replicas[leader].to_crms.cut();
        let (mark, answer) = put_probe(&ring.replicas[1 - leader].api).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let cut_until = Instant::now() + ring.pace.outage * 2;
        while Instant::now() < cut_until {
            for crm in &ring.crms {
                let records = crm.api.list("/api/v1/deployment-records").await;
                let found = records.iter().find(|record| {
                    record["deployment_key"] == PROBE
                        && record["generation"] == answer.body["meta"]["generation"]
                });
                assert!(found.is_none(), "{}: {mark} came through a cut: {found:?}", crm.name);
            }
            sleep(Duration::from_millis(100)).await;
        }
        ring.replicas[leader].to_crms.mend();
        if Instant::now() >= until {
            break;
        }
        sleep(ring.pace.outage).await;
    }
}

/// Each in turn: killed, and started again first with what it held, then with nothing.
pub(crate) async fn crms_killed_and_wiped(ring: &mut Ring, until: Instant) {
    let outage = ring.pace.outage;
    loop {
        for index in 0..ring.crms.len() {
            let crm = &mut ring.crms[index];
            crm.kill();
            sleep(outage / 2).await;
            crm.restart().await;
            sleep(outage / 2).await;
            crm.kill();
            crm.wipe();
            sleep(outage / 2).await;
            crm.restart().await;
        }
        if Instant::now() >= until {
            break;
        }
    }
}

/// The first replica's clock goes on by hours, back by more, and is set right.
pub(crate) async fn clock_set_off_by_hours(ring: &mut Ring, until: Instant) {
    loop {
        for (offset, hours) in [("+7h", 7.0), ("-30h", -30.0)] {
            ring.set_clock(offset);
            eventually_within(Duration::from_secs(20), "its clock is off", || async {
                let (_, answer) = put_probe(&ring.replicas[0].api).await;
                let updated = answer.body["meta"]["updated_at"].as_str().unwrap_or_default();
                let Ok(updated) = updated.parse::<jiff::Timestamp>() else { return Err(answer) };
                let off = updated.duration_since(jiff::Timestamp::now()).as_secs_f64() / 3600.0;
                if (off - hours).abs() < 0.1 { Ok(()) } else { Err(answer) }
            })
            .await;
            sleep(ring.pace.outage).await;
        }
        ring.set_clock("+0");
        if Instant::now() >= until {
            break;
        }
        sleep(ring.pace.outage).await;
    }
}

/// The one replica on a file, again and again.
pub(crate) async fn embedded_replica_killed(ring: &mut Ring, until: Instant) {
    let mut rng = fastrand::Rng::with_seed(11);
    loop {
        ring.replicas[0].process.kill();
        ring.restart(0);
        if Instant::now() >= until {
            break;
        }
        ring.is_ready(0).await;
        sleep(Duration::from_millis(rng.u64(50..600))).await;
    }
}

/// The disk of the embedded store has no room: writes are refused as full, reads go on.
pub(crate) async fn embedded_disk_filled(ring: &mut Ring, until: Instant) {
    let api = ring.replicas[0].api.clone();
    loop {
        let ballast = ring.fill_disk();
        let n_packages = fill_store(&api).await;
        sleep(ring.pace.outage).await;
        let read = api.get("/api/v1/packages/shop").await;
        assert_eq!(read.status, 200, "reads go on: {read:?}");
        std::fs::remove_file(ballast).unwrap();
        for n in 0..n_packages {
            eventually("deleted", || async {
                let answer = api.delete(&format!("/api/v1/packages/ballast-{n}")).await;
                // The last one may have landed or not.
                if [202, 404].contains(&answer.status.as_u16()) { Ok(()) } else { Err(answer) }
            })
            .await;
        }
        if Instant::now() >= until {
            break;
        }
        sleep(ring.pace.outage).await;
    }
}

/// Pushes packages until there is no room for one; answers how many it tried. The file of the store
/// has room of its own: what was written before and is not needed any more.
async fn fill_store(api: &Api) -> usize {
    let description = "x".repeat(500_000);
    for n in 0..400 {
        let name = format!("ballast-{n}");
        let package = json!({"name": name, "metadata": {"description": description},
            "classes": [{"key": "Nothing"}]});
        let answer = api.put(&format!("/api/v1/packages/{name}"), &package).await;
        match answer.status.as_u16() {
            201 => (),
            507 => {
                assert_eq!(answer.body["code"], "store_full", "{answer:?}");
                return n + 1;
            }
            _ => panic!("{answer:?}"),
        }
    }
    panic!("the disk is never full");
}
