//! Creates through the API beside bare transactions of etcd of the same size.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use oprc_cp_storage::{Op, Precondition, Write, keys::Key};

use crate::{
    documents::deployment,
    load::{Connection, closed_loop},
    process::{Program, free_addr},
    stores::{Kind, Place},
    table,
};

const CLIENTS: usize = 64;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);

/// What the Package Manager does beside serving.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Another leads: it serves alone.
    Standby,
    /// It leads, so each deployment is planned too: a unit and a status are written.
    Leader,
}

pub(crate) async fn run() {
    for (role, name) in [
        (Role::Standby, "creates, 64 clients, against bare etcd transactions"),
        (Role::Leader, "the same while each deployment is planned as well"),
    ] {
        let Some(place) = Place::new(Kind::Etcd).await else { return };
        measure(&place, role, name).await;
    }
}

async fn measure(place: &Place, role: Role, name: &str) {
    let store = place.etcd_store("/oaas/pm").await;
    if role == Role::Standby {
        let lease = store.grant_lease(300).await.unwrap();
        let write = Write {
            key: Key::Leader("pm".to_owned()).to_string(),
            precondition: Precondition::Absent,
            op: Op::PutLeased("someone else".into(), lease),
        };
        store.txn(oprc_cp_storage::Txn { checks: Vec::new(), writes: vec![write] }).await.unwrap();
    }
    // A cluster that is registered, and nothing behind it: its units wait.
    let crms = [("east", format!("http://{}", free_addr()))];
    let (pm, _) = Program::pm(place.variables(&crms)).await;
    pm.until("/api/v1/clusters/east", |body| body["name"] == "east").await;
    pm.push_package().await;

    let key = Key::Deployment(key_of(u64::MAX).parse().unwrap());
    let document = deployment(&key_of(u64::MAX), "east");
    let status = Connection::open(pm.addr).await.post("/api/v1/deployments", &document).await.0;
    assert_eq!(status, 201);
    let n_bytes = store.get(&key.to_string()).await.unwrap().unwrap().value.len();

    let client = Client::connect(place.endpoints(), None).await.unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let (mut cpu, mut n_created) = (Duration::ZERO, 0.0);
    for round in 0..=ROUNDS {
        let cpu_before = pm.cpu();
        let created = creates(&pm, &next).await;
        let cpu_after = pm.cpu();
        // What is being planned is not to be in the way of the other side.
        if role == Role::Leader {
            pm.until_idle().await;
        }
        let transacted = transactions(&client, &next, n_bytes).await;
        // The first round warms both up.
        if round > 0 {
            ours.push(created);
            bare.push(transacted);
            cpu += cpu_after - cpu_before;
            n_created += created * TIME.as_secs_f64();
        }
    }
    table::ratio(name, table::median(&mut ours), table::median(&mut bare), 0.7);
    let micros = cpu.as_secs_f64() * 1e6 / n_created;
    table::row("— processor time of oprc-pm for each", &format!("{micros:.0} µs"), "");
    table::row("— bytes stored for each, on both sides", &n_bytes.to_string(), "");
}

fn key_of(n: u64) -> String {
    format!("cart-{n:020}")
}

async fn creates(pm: &Program, next: &Arc<AtomicU64>) -> f64 {
    let (addr, next) = (pm.addr, Arc::clone(next));
    closed_loop(
        CLIENTS,
        TIME,
        async || Connection::open(addr).await,
        move |mut connection: Connection, _| {
            let document = deployment(&key_of(next.fetch_add(1, Ordering::Relaxed)), "east");
            Box::pin(async move {
                let (status, body) = connection.post("/api/v1/deployments", &document).await;
                assert_eq!(status, 201, "{}", String::from_utf8_lossy(body));
                connection
            })
        },
    )
    .await
}

async fn transactions(client: &Client, next: &Arc<AtomicU64>, n_bytes: usize) -> f64 {
    let (client, next) = (client.clone(), Arc::clone(next));
    closed_loop(
        CLIENTS,
        TIME,
        async || client.kv_client(),
        move |mut client, _| {
            let key = format!("/bare/deployments/{}", next.fetch_add(1, Ordering::Relaxed));
            Box::pin(async move {
                let put = TxnOp::put(key.clone(), vec![b'x'; n_bytes], None::<PutOptions>);
                let is_absent = Compare::mod_revision(key, CompareOp::Equal, 0);
                let answer = client.txn(Txn::new().when([is_absent]).and_then([put])).await;
                assert!(answer.unwrap().succeeded());
                client
            })
        },
    )
    .await
}
