use std::time::Duration;

use oprc_cp_storage::memory::MemoryStore;
use oprc_models::{
    meta::Timestamp,
    package::FunctionType,
    unit::{Replicas, UnitFunction},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    listing::{self, Filter},
    runtime::simulated::Simulated,
    work,
};

/// A unit `id` of `generation` for cluster `east`, with the hash of its generation.
pub(crate) fn unit(id: &str, generation: u64) -> DeploymentUnit {
    DeploymentUnit {
        id: id.parse().unwrap(),
        deployment_key: "shop.cart".parse().unwrap(),
        package_name: "shop".parse().unwrap(),
        class_key: "Cart".parse().unwrap(),
        package_version: None,
        target_env: "east".parse().unwrap(),
        generation,
        spec_hash: format!("hash-{generation}"),
        owner: "pm".to_owned(),
        functions: vec![UnitFunction {
            key: "add".parse().unwrap(),
            function_type: FunctionType::Custom,
            provision_config: Default::default(),
            config: Default::default(),
            secrets: Default::default(),
            replicas: Replicas { min: 1, max: None, target: 2 },
            qos_requirement: None,
            available_location: None,
        }],
        function_bindings: Vec::new(),
        state_spec: None,
        odgm_config: None,
        selected_template: None,
        telemetry: None,
        nfr_requirements: Default::default(),
        restart: None,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

/// A CRM at work on `store`, until the guard is dropped.
pub(crate) async fn start(store: SharedStore) -> (Arc<Crm>, tokio_util::sync::DropGuard) {
    let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
    let runtime = Arc::new(Simulated::default());
    let (crm, work) = work::open("east".parse().unwrap(), store, runtime, clock).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(work.run(stop.clone()));
    (crm, stop.drop_guard())
}

fn fence(term: u64) -> Option<Fence> {
    Some(Fence { owner: "pm".to_owned(), term })
}

/// Waits until `id` is in `want`; `None`: until nothing is held for it.
pub(crate) async fn wait_for(crm: &Crm, id: &str, want: Option<RunCondition>) {
    let id = id.parse().unwrap();
    let is_so = async {
        loop {
            let condition = match crm.status(&id).await {
                Ok(status) => Some(status.status),
                Err(Error::NotFound) => None,
                Err(err) => panic!("{err}"),
            };
            if condition == want {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), is_so).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_unit_comes_up_is_updated_and_goes() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    let change = |applied: Result<Applied, Error>| applied.unwrap().change;
    assert_eq!(change(crm.apply(None, &unit("a", 1)).await), Change::Created);
    wait_for(&crm, "a", Some(RunCondition::Running)).await;
    let record = crm.record(&"a".parse().unwrap()).await.unwrap();
    assert_eq!(record.status.functions[0].replicas_ready, 2);
    assert_eq!(record.runtime.map(|instances| instances.len()), Some(2));

    assert_eq!(change(crm.apply(None, &unit("a", 1)).await), Change::Unchanged);
    assert_eq!(change(crm.apply(None, &unit("a", 2)).await), Change::Updated);
    let status = crm.status(&"a".parse().unwrap()).await.unwrap();
    assert_eq!((status.generation, status.status), (2, RunCondition::Pending));
    wait_for(&crm, "a", Some(RunCondition::Running)).await;

    let same = DeploymentUnit { generation: 3, ..unit("a", 2) };
    assert_eq!(change(crm.apply(None, &same).await), Change::Updated);
    let status = crm.status(&"a".parse().unwrap()).await.unwrap();
    assert_eq!((status.generation, status.status), (3, RunCondition::Running));

    let id = "a".parse().unwrap();
    assert_eq!(crm.delete(None, &id, Some(3)).await.unwrap(), Deleted::Begun);
    wait_for(&crm, "a", None).await;
    assert!(crm.store.get("units/a").await.unwrap().is_none());
    assert_eq!(crm.delete(None, &id, Some(3)).await.unwrap(), Deleted::Gone);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_back_not_even_after_a_restart() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let (crm, guard) = start(Arc::clone(&store)).await;
    crm.apply(fence(5).as_ref(), &unit("a", 3)).await.unwrap();
    crm.delete(fence(5).as_ref(), &"a".parse().unwrap(), Some(4)).await.unwrap();
    crm.delete(fence(5).as_ref(), &"b".parse().unwrap(), Some(7)).await.unwrap();
    wait_for(&crm, "a", None).await;
    drop(guard);

    let (crm, _guard) = start(store).await;
    let stale = |outcome| match outcome {
        Err(Error::StaleGeneration { current, .. }) => current,
        other => panic!("{other:?}"),
    };
    assert_eq!(stale(crm.apply(fence(5).as_ref(), &unit("a", 4)).await), 4);
    assert_eq!(stale(crm.apply(None, &unit("b", 7)).await), 7);
    let old_term = crm.apply(fence(4).as_ref(), &unit("a", 9)).await;
    assert!(matches!(old_term, Err(Error::StaleTerm { asked: 4, current: 5 })), "{old_term:?}");
    let old_term = crm.delete(fence(4).as_ref(), &"a".parse().unwrap(), Some(9)).await;
    assert!(matches!(old_term, Err(Error::StaleTerm { .. })), "{old_term:?}");
    assert_eq!(crm.apply(fence(6).as_ref(), &unit("a", 5)).await.unwrap().change, Change::Created);
    assert!(crm.store.get("tombstones/a").await.unwrap().is_none(), "the record remembers now");
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_still_teaches_its_term() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    crm.apply(fence(1).as_ref(), &unit("a", 2)).await.unwrap();
    let stale = crm.apply(fence(2).as_ref(), &unit("a", 1)).await;
    assert!(matches!(stale, Err(Error::StaleGeneration { .. })));
    let old_term = crm.apply(fence(1).as_ref(), &unit("a", 3)).await;
    assert!(matches!(old_term, Err(Error::StaleTerm { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_goes_on_after_a_restart() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let (crm, guard) = start(Arc::clone(&store)).await;
    crm.apply(None, &unit("a", 1)).await.unwrap();
    crm.apply(None, &unit("b", 1)).await.unwrap();
    wait_for(&crm, "b", Some(RunCondition::Running)).await;
    crm.apply(None, &unit("a", 2)).await.unwrap();
    crm.delete(None, &"b".parse().unwrap(), Some(1)).await.unwrap();
    drop(guard);
    let (crm, _guard) = start(store).await;
    wait_for(&crm, "a", Some(RunCondition::Running)).await;
    wait_for(&crm, "b", None).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_unit_is_revived_by_a_newer_generation_only() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    crm.apply(None, &unit("a", 1)).await.unwrap();
    crm.delete(None, &"a".parse().unwrap(), Some(1)).await.unwrap();
    assert!(matches!(crm.apply(None, &unit("a", 1)).await, Err(Error::StaleGeneration { .. })));
    assert_eq!(crm.apply(None, &unit("a", 2)).await.unwrap().change, Change::Updated);
    wait_for(&crm, "a", Some(RunCondition::Running)).await;
    let late = crm.delete(None, &"a".parse().unwrap(), Some(1)).await;
    assert!(matches!(late, Err(Error::StaleGeneration { current: 2, .. })), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_at_one_id_at_once_leave_the_newest() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    let calls = (1..=64).map(|generation| {
        let crm = Arc::clone(&crm);
        tokio::spawn(
            async move { crm.apply(fence(generation).as_ref(), &unit("a", generation)).await },
        )
    });
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) | Err(Error::StaleGeneration { .. } | Error::StaleTerm { .. }) => {}
            Err(err) => panic!("{err}"),
        }
    }
    assert_eq!(crm.status(&"a".parse().unwrap()).await.unwrap().generation, 64);
}

#[tokio::test(start_paused = true)]
async fn owners_are_bounded() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    let id = "a".parse().unwrap();
    for owner in 0..MAX_OWNERS {
        let fence = Fence { owner: format!("pm-{owner}"), term: 1 };
        crm.delete(Some(&fence), &id, None).await.unwrap();
    }
    let one_more = crm.delete(fence(1).as_ref(), &id, None).await;
    assert!(matches!(one_more, Err(Error::TooManyOwners { .. })), "{one_more:?}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_units_come_up_together_in_few_transactions() {
    let store = Arc::new(MemoryStore::default());
    let (crm, _guard) = start(Arc::clone(&store) as SharedStore).await;
    let n_units = 10_000;
    for number in 0..n_units {
        crm.apply(None, &unit(&format!("u{number}"), 1)).await.unwrap();
    }
    let all_run = async {
        while crm.feed.counts().get(&RunCondition::Running) != Some(&n_units) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), all_run).await.unwrap();
    let running = Filter { status: Some(RunCondition::Running), ..Filter::default() };
    let (mut n_found, mut from) = (0, None);
    loop {
        let page = listing::page(&crm, &running, 1_000, from).await.unwrap();
        let page: oprc_models::crm::RecordPage = serde_json::from_slice(&page).unwrap();
        n_found += page.items.len();
        let Some(next) = page.r#continue else { break };
        from = Some(next.parse().unwrap());
    }
    assert_eq!(n_found, n_units);
}

#[tokio::test]
async fn implausible_term_is_refused_and_leaves_no_trace() {
    let (crm, _guard) = start(Arc::new(MemoryStore::default())).await;
    let fence = |term| Some(Fence { owner: "pm".to_owned(), term });
    let (first, unit) = (fence(7), unit("cart-1", 1));
    for term in [u64::MAX, terms::MAX_STEP + 1] {
        let refused = crm.apply(fence(term).as_ref(), &unit).await.unwrap_err();
        assert!(matches!(refused, Error::ImplausibleTerm { current: 0, .. }), "{refused:?}");
    }
    assert!(crm.terms().await.unwrap().is_empty());
    crm.apply(first.as_ref(), &unit).await.unwrap();
    let refused = crm.delete(fence(u64::MAX).as_ref(), &unit.id, Some(1)).await.unwrap_err();
    assert!(matches!(refused, Error::ImplausibleTerm { current: 7, .. }), "{refused:?}");
    crm.apply(first.as_ref(), &unit).await.unwrap();
    // A CRM that was out of reach for long meets large steps, and a restored store bumps its clock.
    crm.apply(fence(7 + terms::MAX_STEP).as_ref(), &unit).await.unwrap();
}

#[tokio::test]
async fn forgotten_term_lets_the_real_leader_in_again() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let (crm, _guard) = start(Arc::clone(&store)).await;
    let fence = |owner: &str, term| Some(Fence { owner: owner.to_owned(), term });
    let unit = unit("cart-1", 1);
    crm.apply(fence("pm", 1 << 39).as_ref(), &unit).await.unwrap();
    crm.delete(fence("other", 3).as_ref(), &unit.id, Some(0)).await.unwrap_err();
    let real = fence("pm", 5);
    let refused = crm.apply(real.as_ref(), &unit).await.unwrap_err();
    assert!(matches!(refused, Error::StaleTerm { .. }), "{refused:?}");
    assert!(matches!(crm.forget_term("nobody").await, Err(Error::NotFound)));
    crm.forget_term("pm").await.unwrap();
    crm.apply(real.as_ref(), &unit).await.unwrap();
    let seen = crm.terms().await.unwrap();
    let seen: Vec<_> = seen.iter().map(|seen| (seen.owner.as_str(), seen.term)).collect();
    assert_eq!(seen, [("other", 3), ("pm", 5)]);
    crm.apply(fence("pm", 4).as_ref(), &unit).await.unwrap_err();
}
