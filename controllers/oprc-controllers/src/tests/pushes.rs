//! Pushes of several transactions whose pusher died: finished, or taken back.

use oprc_cp_storage::keys::Key;
use oprc_models::{deployment::OClassDeployment, meta::Timestamp};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use super::{
    World,
    crm::{ALL, SimulatedCrm},
};

/// A deployment of the class `cart`, as it is stored at `generation`.
fn document(key: &str, generation: u64, target: &str) -> Value {
    let spec: OClassDeployment = serde_json::from_value(json!({
        "key": key, "package_name": "shop", "class_key": "cart", "target_envs": [target],
    }))
    .unwrap();
    let mut stored = super::stored(generation, spec);
    stored.meta.uid = if key == "shop.a" { "u1".to_owned() } else { format!("u-{key}") };
    serde_json::to_value(stored).unwrap()
}

impl World {
    /// Stages `key` for the push `p`: what it is, and what it becomes.
    async fn stage(&self, key: &str, current: Option<Value>, mut next: Value) {
        let store_key = Key::Deployment(key.parse().unwrap());
        let before = self.store.get(&store_key.to_string()).await.unwrap();
        next["push"] = json!("p");
        next["since"] = json!(before.map_or(0, |before| before.mod_revision.0));
        let mut staged = current.unwrap_or_else(|| json!({}));
        staged["intent"] = next;
        self.put(&store_key, &staged).await;
    }

    async fn decide(&self, progress: &str) {
        let record = json!({
            "progress": progress, "begun_at": Timestamp::UNIX_EPOCH, "n_documents": 3,
        });
        self.put(&Key::Push("p".parse().unwrap()), &record).await;
    }

    async fn tidied_up(&self) {
        self.eventually(60, "tidied up", |world| {
            let state = world.cache.read();
            !state.has_intents() && state.pushes.is_empty()
        })
        .await;
    }
}

/// A world with `shop.a` on east; a push that moves it to west and creates `shop.b` there is staged.
async fn staged() -> (World, [std::sync::Arc<SimulatedCrm>; 2]) {
    let crms = [SimulatedCrm::new("east", ALL), SimulatedCrm::new("west", ALL)];
    let world = World::start(&crms).await;
    world.put_package(1, "shop:1").await;
    world.put_many("u1", 1, "shop.a", &["east"]).await;
    world.running("shop.a", 1).await;
    world.decide("PENDING").await;
    let current = document("shop.a", 1, "east");
    world.stage("shop.a", Some(current), document("shop.a", 2, "west")).await;
    world.stage("shop.b", None, document("shop.b", 1, "west")).await;
    let staged = world.store.head().await.unwrap();
    world.cache.wait_for(staged, Duration::from_secs(5)).await.unwrap();
    (world, crms)
}

#[tokio::test(start_paused = true)]
async fn an_undecided_push_is_left_alone() {
    let (world, _crms) = staged().await;
    world.quiet().await;
    assert!(world.cache.read().has_intents());
    assert_eq!(world.units("shop.a").keys().collect::<Vec<_>>(), ["east"]);
    assert!(world.units("shop.b").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_committed_push_is_brought_about_and_finished() {
    let (mut world, _crms) = staged().await;
    world.decide("COMMITTED").await;
    world.running("shop.a", 2).await;
    world.running("shop.b", 1).await;
    world.tidied_up().await;
    // It is of its new generation without the push too.
    let stored = world.store.get("deployments/shop.a").await.unwrap().unwrap();
    let stored: Value = serde_json::from_slice(&stored.value).unwrap();
    assert_eq!((stored["meta"]["generation"].clone(), stored.get("intent")), (json!(2), None));
    world.eventually(60, "moved", |world| world.units("shop.a").keys().eq(["west"])).await;
    world.begin_term().await;
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_aborted_push_leaves_nothing() {
    let (mut world, _crms) = staged().await;
    // Nobody leads when the lease ends: the next term finds the intents.
    world.remove(&Key::Push("p".parse().unwrap())).await;
    world.begin_term().await;
    world.tidied_up().await;
    assert_eq!(world.units("shop.a").keys().collect::<Vec<_>>(), ["east"]);
    assert_eq!(world.store.get("deployments/shop.b").await.unwrap(), None);
    world.quiet().await;
}

/// A deployment that a push makes anew is not removed under it.
#[tokio::test(start_paused = true)]
async fn what_is_staged_is_not_removed() {
    let (world, _crms) = staged().await;
    let mut going = document("shop.a", 1, "east");
    going["meta"]["deletion_requested_at"] = json!(Timestamp::UNIX_EPOCH);
    let mut anew = document("shop.a", 2, "west");
    anew["meta"]["uid"] = json!("u2");
    world.stage("shop.a", Some(going), anew).await;
    world.eventually(60, "gone from east", |world| world.units("shop.a").is_empty()).await;
    sleep(Duration::from_secs(60)).await;
    assert!(world.store.get("deployments/shop.a").await.unwrap().is_some());
    world.decide("COMMITTED").await;
    world.running("shop.a", 2).await;
    world.tidied_up().await;
    assert_eq!(world.units("shop.a")["west"].deployment_uid, "u2");
}
