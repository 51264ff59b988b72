//! More documents for tests that need no CRM.

use std::sync::Arc;

use oprc_controller_runtime::cache::Cache;
use oprc_cp_storage::{SharedStore, keys::Key, memory::MemoryStore};
use oprc_models::{
    deployment::OClassDeployment,
    meta::{Stored, Timestamp},
    names::UnitId,
    package::OPackage,
    unit::{DeploymentUnit, Desired, StoredUnit},
};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{World, stored};

impl World {
    /// A store and its cache, and no controllers. Writes are waited for.
    pub(crate) async fn store_only() -> Self {
        let store: SharedStore = Arc::new(MemoryStore::default());
        let cache = Cache::new(Arc::clone(&store));
        let stop = CancellationToken::new();
        let filling = (Arc::clone(&cache), stop.clone());
        tokio::spawn(async move { filling.0.run(filling.1).await });
        cache.filled().await;
        let crms = std::collections::BTreeMap::new();
        let recorder = crate::Recorder::off();
        let (term, term_offset, is_recovered) = (0, 0, false);
        Self { store, cache, crms, stop, term, term_offset, is_recovered, recorder }
    }

    async fn put_seen<T: serde::Serialize>(&self, key: &Key, value: &T) {
        self.put(key, value).await;
        let head = self.store.head().await.unwrap();
        self.cache.wait_for(head, std::time::Duration::from_secs(5)).await.unwrap();
        // And what the controllers make of it, if there are any.
        sleep(std::time::Duration::from_millis(1)).await;
    }

    pub(crate) async fn put_package_of(&self, name: &str, needs: &[&str]) {
        let package: OPackage = serde_json::from_value(json!({
            "name": name, "version": "1.0.0", "dependencies": needs,
        }))
        .unwrap();
        self.put_seen(&Key::Package(name.parse().unwrap()), &stored(1, package)).await;
    }

    pub(crate) async fn delete_package(&self, name: &str) {
        let entry = self.cache.read().packages[name].clone();
        let mut package = (*entry.value).clone();
        package.meta.deletion_requested_at = Some(Timestamp::UNIX_EPOCH);
        self.put_seen(&Key::Package(name.parse().unwrap()), &package).await;
    }

    pub(crate) fn deployment_of(&self, key: &str, package: &str) -> Stored<OClassDeployment> {
        let spec = json!({ "key": key, "package_name": package, "class_key": "cart" });
        stored(1, serde_json::from_value(spec).unwrap())
    }

    pub(crate) async fn put_deployment_of(&self, key: &str, package: &str) {
        let spec = self.deployment_of(key, package);
        self.put_seen(&Key::Deployment(key.parse().unwrap()), &spec).await;
    }

    pub(crate) async fn put_unit(&self, cluster: &str, deployment: &str) {
        let cluster = cluster.parse().unwrap();
        let unit: DeploymentUnit = serde_json::from_value(json!({
            "id": UnitId::derive("cart", deployment, &cluster), "deployment_key": deployment,
            "package_name": "shop", "class_key": "cart", "target_env": cluster, "generation": 1,
            "spec_hash": "", "owner": "oprc-pm", "created_at": Timestamp::UNIX_EPOCH,
        }))
        .unwrap();
        let unit = StoredUnit {
            desired: Desired::Present,
            deployment_uid: deployment.to_owned(),
            paused: false,
            correlation_id: None,
            unit,
        };
        self.put_seen(&Key::Unit(cluster, deployment.parse().unwrap()), &unit).await;
    }
}
