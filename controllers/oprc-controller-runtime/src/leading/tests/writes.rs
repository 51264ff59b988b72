//! Leaders whose leases are renewed while their writes fail.

use super::*;

fn two() -> (Faulty, Faulty) {
    let store = Faulty::default();
    let other = store.beside();
    (store, other)
}

/// A replica whose writes are probed, and who gives its term up when they fail.
fn stand_probed(store: &Faulty, identity: &str) -> Replica {
    let writes = Arc::<WriteHealth>::default();
    let shared = Arc::new(store.clone()) as SharedStore;
    tokio::spawn(oprc_cp_storage::health::keep(shared, Arc::clone(&writes)));
    let mut options = Options::new(KEY, identity, 7);
    options.writes = Some(writes);
    stand_with(store, options, Body::Ends, &Arc::default())
}

#[tokio::test(start_paused = true)]
async fn leader_whose_writes_are_refused_gives_its_term_up() {
    let store = Faulty::default();
    let mut a = stand_probed(&store, "a");
    let old = a.next_term().await;
    let mut b = stand_probed(&store.beside(), "b");
    sleep(secs(60)).await;
    store.set(Fault::RefusesWrites);
    assert!(ended_in(&old).await <= secs(30));
    let new = b.next_term().await;
    sleep(secs(600)).await;
    assert!(a.terms.try_recv().is_err(), "who cannot write does not stand");
    assert!(new.is_valid(Instant::now()));
    store.set(Fault::None);
    b.stop().await;
    a.next_term().await;
    a.stop().await;
}

/// A store that refuses everyone, or is full, is no reason to change the leader again and again.
#[tokio::test(start_paused = true)]
async fn cause_that_all_replicas_share_ends_at_most_one_term_each() {
    for (fault, want_terms) in [(Fault::RefusesWrites, 1), (Fault::IsFull, 0)] {
        let (store, other) = two();
        let mut a = stand_probed(&store, "a");
        let first = a.next_term().await;
        let mut b = stand_probed(&other, "b");
        sleep(secs(60)).await;
        store.set(fault);
        other.set(fault);
        sleep(secs(3600)).await;
        assert_eq!(usize::from(first.ended().is_cancelled()), want_terms, "{fault:?}");
        assert!(a.terms.try_recv().is_err() && b.terms.try_recv().is_err(), "{fault:?}");
        store.set(Fault::None);
        other.set(Fault::None);
        sleep(secs(60)).await;
        assert!(created(&store).await.is_some(), "one leads again: {fault:?}");
        a.stop().await;
        b.stop().await;
    }
}
