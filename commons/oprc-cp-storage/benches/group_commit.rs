//! Prints what merging transactions gains on a real etcd; decision 0013 quotes it.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints and may panic")]

use std::{sync::Arc, time::Duration};

use oprc_cp_storage::{
    Op, Precondition, SharedStore, Txn, Write,
    etcd::{EtcdOptions, EtcdStore},
    group_commit::{GroupCommit, Options},
    testing::{EtcdConfig, EtcdProcess},
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let config = EtcdConfig { on_disk: true, ..EtcdConfig::default() };
    let Some(etcd) = EtcdProcess::start_if_available(config).await else { return };
    for n_clients in [1, 8, 64, 256] {
        for max_in_flight in [0, 1, 2, 4] {
            let prefix = format!("/m{n_clients}-{max_in_flight}");
            let direct =
                EtcdStore::connect(EtcdOptions::new(etcd.endpoints(), prefix)).await.unwrap();
            let store: SharedStore = match max_in_flight {
                0 => Arc::new(direct),
                _ => {
                    let options = Options { max_in_flight, ..Options::default() };
                    Arc::new(GroupCommit::new(direct, options))
                }
            };
            measure(store, n_clients, max_in_flight).await;
        }
    }
}

async fn measure(store: SharedStore, n_clients: usize, max_in_flight: usize) {
    let start = tokio::time::Instant::now();
    let until = start + Duration::from_secs(3);
    let clients = (0..n_clients).map(|client| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let key = format!("client/{client}");
            let mut precondition = Precondition::Absent;
            let mut times = Vec::new();
            while tokio::time::Instant::now() < until {
                let sent = tokio::time::Instant::now();
                let op = Op::Put(vec![b'x'; 1024].into());
                let write = Write { key: key.clone(), precondition, op };
                precondition = Precondition::At(
                    store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await.unwrap(),
                );
                times.push(sent.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.extend(client.await.unwrap());
    }
    times.sort();
    let per_sec = times.len() as u128 * 1000 / start.elapsed().as_millis();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{n_clients:>3} clients, {max_in_flight} in flight: {per_sec:>6}/s, p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    );
}
