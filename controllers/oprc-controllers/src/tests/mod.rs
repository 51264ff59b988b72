//! The controllers of one term, over a store in memory and simulated CRMs, on a paused clock.

mod configured;
mod crm;
mod distrust;
mod documents;
mod events;
mod faults;
mod forced;
mod history;
mod identity;
mod late;
mod pause;
mod poison;
mod pushes;
mod ring;
mod storm;
mod swapped;
mod terms;
mod vanished;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use oprc_controller_runtime::{backoff::Backoff, cache::Cache, leading::Term};
use oprc_cp_storage::{
    Op, Precondition, Revision, SharedStore, Txn, Write, keys::Key, memory::MemoryStore,
};
use oprc_crm_client::Crm;
use oprc_models::{
    cluster::ClusterSpec,
    deployment::OClassDeployment,
    installation::{Identity, Installation},
    meta::{Meta, Stored, Timestamp},
    names::{ClusterName, DeploymentKey},
    package::OPackage,
    record::RunCondition,
    status::DeploymentStatus,
    unit::StoredUnit,
};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::crm::SimulatedCrm;
use crate::{Context, Controllers, Recorder, Settings, Watchdog};

/// The whole of what a test drives.
pub(crate) struct World {
    pub(crate) store: SharedStore,
    pub(crate) cache: Arc<Cache>,
    /// The CRMs that the controllers of the next term are configured with.
    pub(crate) crms: BTreeMap<ClusterName, Arc<SimulatedCrm>>,
    stop: CancellationToken,
    term: u64,
    /// Added to the terms that begin from now on.
    pub(crate) term_offset: u64,
    /// The store was recovered before the terms that begin from now on.
    pub(crate) is_recovered: bool,
    pub(crate) recorder: Recorder,
}

impl World {
    /// A store, a filled cache and the controllers of a first term, with these CRMs registered.
    pub(crate) async fn start(crms: &[Arc<SimulatedCrm>]) -> Self {
        Self::start_on(Arc::new(MemoryStore::default()), crms).await
    }

    /// As [`start`](Self::start), on this store.
    async fn start_on(store: SharedStore, crms: &[Arc<SimulatedCrm>]) -> Self {
        let cache = Cache::new(Arc::clone(&store));
        let stop = CancellationToken::new();
        let filling = (Arc::clone(&cache), stop.clone());
        tokio::spawn(async move { filling.0.run(filling.1).await });
        let crms = crms.iter().map(|crm| (crm.cluster.clone(), Arc::clone(crm))).collect();
        let recorder = Recorder::off();
        let (term, term_offset, is_recovered) = (0, 0, false);
        let mut world =
            Self { store, cache, crms, stop, term, term_offset, is_recovered, recorder };
        for name in world.crms.keys() {
            let spec = ClusterSpec { name: name.clone(), endpoints: vec!["http://crm".into()] };
            world.put(&Key::Cluster(name.clone()), &stored(1, spec)).await;
        }
        world.begin_term().await;
        world
    }

    /// Takes the lead anew: the controllers of the term before are dropped where they are.
    pub(crate) async fn begin_term(&mut self) {
        self.begin_term_of(Duration::from_secs(1_000_000)).await;
    }

    /// As [`begin_term`](Self::begin_term), for a term that is valid for this long on our clock.
    pub(crate) async fn begin_term_of(&mut self, lasts: Duration) {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        let filling = (Arc::clone(&self.cache), self.stop.clone());
        tokio::spawn(async move { filling.0.run(filling.1).await });
        let key = Key::Leader("pm".to_owned()).to_string();
        if let Some(before) = self.store.get(&key).await.unwrap() {
            let precondition = Precondition::At(before.mod_revision);
            self.write(&key, precondition, Op::Delete).await;
        }
        let put = Op::Put(Bytes::from_static(b"{}"));
        let revision = self.write(&key, Precondition::Absent, put).await;
        self.term += 1;
        let valid_until = Instant::now() + lasts;
        let context = Context {
            history_limit: 20,
            version_limit: 3,
            store: Arc::clone(&self.store),
            cache: Arc::clone(&self.cache),
            now: Arc::new(|| Timestamp::UNIX_EPOCH),
            identity: identity_from(self.term_offset),
            recovered_at: self.is_recovered.then_some(Timestamp::UNIX_EPOCH),
            default_cluster: None,
            recorder: self.recorder.clone(),
            term: Term::new(key, revision, valid_until),
        };
        let crms = self.crms.clone();
        let controllers = Controllers {
            settings: Settings::default(),
            connect: Arc::new(move |spec| {
                let crm = crms.get(&spec.name).ok_or("no such CRM")?;
                Ok(Arc::clone(crm) as Arc<dyn Crm>)
            }),
            backoff: Backoff::default(),
            watchdog: Watchdog::default(),
            seed: self.term,
        };
        let stop = self.stop.clone();
        tokio::spawn(async move { controllers.run(context, stop).await });
    }

    async fn write(&self, key: &str, precondition: Precondition, op: Op) -> Revision {
        let write = Write { key: key.to_owned(), precondition, op };
        self.store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await.unwrap()
    }

    /// Writes `value`, whatever is there.
    pub(crate) async fn put<T: Serialize>(&self, key: &Key, value: &T) {
        let key = key.to_string();
        let before = self.store.get(&key).await.unwrap();
        let precondition =
            before.map_or(Precondition::Absent, |before| Precondition::At(before.mod_revision));
        let json = serde_json::to_vec(value).unwrap();
        self.write(&key, precondition, Op::Put(Bytes::from(json))).await;
    }

    /// Removes `key`, whatever is there.
    pub(crate) async fn remove(&self, key: &Key) {
        let key = key.to_string();
        let before = self.store.get(&key).await.unwrap().unwrap();
        self.write(&key, Precondition::At(before.mod_revision), Op::Delete).await;
    }

    pub(crate) async fn put_package(&self, generation: u64, image: &str) {
        let package: OPackage = serde_json::from_value(serde_json::json!({
            "name": "shop",
            "classes": [{"key": "cart", "function_bindings": [
                {"name": "add", "function_key": "cart.add"}]}],
            "functions": [{"key": "cart.add", "provision_config": {"container_image": image}}],
        }))
        .unwrap();
        self.put(&Key::Package("shop".parse().unwrap()), &stored(generation, package)).await;
    }

    pub(crate) async fn put_deployment(&self, uid: &str, generation: u64, targets: &[&str]) {
        self.put_many(uid, generation, "shop.cart", targets).await;
    }

    pub(crate) async fn put_many(&self, uid: &str, generation: u64, key: &str, targets: &[&str]) {
        let spec: OClassDeployment = serde_json::from_value(serde_json::json!({
            "key": key, "package_name": "shop", "class_key": "cart", "target_envs": targets,
        }))
        .unwrap();
        let mut stored = stored(generation, spec);
        uid.clone_into(&mut stored.meta.uid);
        self.put(&Key::Deployment(key.parse().unwrap()), &stored).await;
    }

    pub(crate) async fn delete_deployment(&self, key: &str) {
        let entry = self.cache.read().deployments[key].clone();
        let mut stored = (*entry.value).clone();
        stored.meta.deletion_requested_at = Some(Timestamp::UNIX_EPOCH);
        self.put(&Key::Deployment(key.parse().unwrap()), &stored).await;
    }

    pub(crate) fn status(&self, key: &str) -> Option<Arc<DeploymentStatus>> {
        let key: DeploymentKey = key.parse().unwrap();
        self.cache.read().deployment_statuses.get(&key).map(|entry| Arc::clone(&entry.value))
    }

    /// Waits until `holds`, for at most `secs` of simulated time.
    #[track_caller]
    pub(crate) fn eventually<'a>(
        &'a self,
        secs: u64,
        what: &'a str,
        holds: impl Fn(&Self) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let wait = async {
                while !holds(self) {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            if timeout(Duration::from_secs(secs), wait).await.is_err() {
                let state = self.cache.read();
                panic!("{caller}: not within {secs} s: {what}\n{state:#?}");
            }
        }
    }

    pub(crate) async fn running(&self, key: &str, generation: u64) {
        self.eventually(60, "running", |world| {
            world.status(key).is_some_and(|status| {
                status.condition == RunCondition::Running
                    && status.observed_generation == generation
            })
        })
        .await;
    }

    /// The stored units of `key`, by cluster.
    pub(crate) fn units(&self, key: &str) -> BTreeMap<String, StoredUnit> {
        let state = self.cache.read();
        let key = key.parse().unwrap();
        let units = state.units_of_deployment(&key);
        units.map(|(cluster, entry)| (cluster.to_string(), entry.value.unpack())).collect()
    }

    /// Waits until nothing of `key` is left in the store.
    pub(crate) async fn gone(&self, key: &str) {
        let key: DeploymentKey = key.parse().unwrap();
        self.eventually(120, "gone", |world| {
            let state = world.cache.read();
            !state.deployments.contains_key(&key)
                && state.units_of_deployment(&key).next().is_none()
                && state.records_of_deployment(&key).next().is_none()
                && !state.deployment_statuses.contains_key(&key)
        })
        .await;
    }

    /// Nothing moves: no write for ten minutes.
    pub(crate) async fn quiet(&self) {
        sleep(Duration::from_secs(30)).await;
        let before = self.store.head().await.unwrap();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(self.store.head().await.unwrap(), before, "a quiet system writes nothing");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The identity of the controllers of tests.
pub(crate) fn identity() -> Identity {
    identity_from(0)
}

/// As [`identity`], with terms that begin above `term_offset`.
fn identity_from(term_offset: u64) -> Identity {
    let installation = Installation::new("i1".to_owned(), Timestamp::UNIX_EPOCH);
    Identity::new("oprc-pm", &Installation { term_offset, ..installation })
}

fn stored<T>(generation: u64, spec: T) -> Stored<T> {
    let meta = Meta::new("u1".to_owned(), generation, Timestamp::UNIX_EPOCH);
    Stored { meta, spec }
}
