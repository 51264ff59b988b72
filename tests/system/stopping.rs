//! A graceful stop under load: every request is answered or refused, nothing acknowledged is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use tokio::{task::JoinSet, time::Instant};

use crate::support::{Api, Backend, PATIENCE, World, document, eventually, on_each_backend};

on_each_backend!(what_was_acknowledged_survives_a_stop_under_load);

const N_CLIENTS: usize = 64;

async fn what_was_acknowledged_survives_a_stop_under_load(backend: Backend) {
    let mut world = World::start(backend, &["edge-1"]).await;
    world.put_package("1.0.0").await;
    let n_acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..N_CLIENTS {
        clients.spawn(write(world.api().clone(), client, Arc::clone(&n_acknowledged)));
    }
    eventually("load", || async {
        let n = n_acknowledged.load(Ordering::Relaxed);
        if n >= 4 * N_CLIENTS { Ok(()) } else { Err(n) }
    })
    .await;

    let stopped = Instant::now();
    world.pms[0].process.terminate();
    let status = world.pms[0].process.ended().await;
    let took = stopped.elapsed();
    assert!(status.success(), "{status:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut acknowledged = Vec::new();
    while let Some(keys) = clients.join_next().await {
        acknowledged.extend(keys.unwrap());
    }
    eprintln!("stopped in {took:?}; {} writes had been acknowledged", acknowledged.len());

    world.restart(0);
    world.is_ready(0).await;
    let stored = world.api().list("/api/v1/deployments").await;
    let stored: std::collections::BTreeSet<_> =
        stored.iter().filter_map(|item| item["key"].as_str()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|key| !stored.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}

/// Creates one deployment after another until it is no longer served; answers those acknowledged.
async fn write(api: Api, client: usize, n_acknowledged: Arc<AtomicUsize>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let key = format!("cart-{client}-{i}");
        let request = api.request(Method::POST, "/api/v1/deployments");
        let request = request.json(&document(&key, &["edge-1"])).timeout(PATIENCE);
        match Api::try_send(request).await {
            Ok(answer) if answer.status == 201 => {
                acknowledged.push(key);
                n_acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            // Busy, or stopping: refused in so many words.
            Ok(answer) if matches!(answer.status.as_u16(), 429 | 503) => (),
            Ok(answer) => panic!("{key}: {answer:?}"),
            Err(_) => break,
        }
    }
    acknowledged
}
