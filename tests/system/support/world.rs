//! One test's world: a store, clusters, and the Package Managers over them.

use std::{collections::BTreeMap, net::TcpListener, path::PathBuf, time::Duration};

use etcd_client::{Client, GetOptions};
use oprc_cp_storage::testing::{EtcdConfig, EtcdProcess};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Api, Cluster, PATIENCE, Process, eventually};

/// What keeps the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Embedded,
    Etcd,
}

/// Whether there is no etcd, so that a test that needs one must end: it is recorded as skipped.
pub(crate) fn lacks_etcd() -> bool {
    EtcdProcess::is_missing()
}

/// A Package Manager: the process and its API.
#[derive(Debug)]
pub(crate) struct Pm {
    pub(crate) process: Process,
    pub(crate) api: Api,
    port: u16,
    name: String,
}

/// Everything that one test has.
pub(crate) struct World {
    // Dropped in this order: first who asks, then who is asked.
    pub(crate) pms: Vec<Pm>,
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) etcd: Option<EtcdProcess>,
    pub(crate) folder: TempDir,
    /// Variables of every Package Manager, beyond those that follow from the world.
    pub(crate) settings: Vec<(String, String)>,
}

impl World {
    /// A Package Manager that is ready, and a cluster for each of `names`.
    pub(crate) async fn start(backend: Backend, names: &[&str]) -> Self {
        let mut world = Self::without_pm(backend, names).await;
        world.add_pm().await;
        world
    }

    /// The store and the clusters alone.
    pub(crate) async fn without_pm(backend: Backend, names: &[&str]) -> Self {
        let etcd = match backend {
            Backend::Embedded => None,
            Backend::Etcd => Some(EtcdProcess::start(EtcdConfig::default()).await),
        };
        let mut clusters = BTreeMap::new();
        for name in names {
            clusters.insert((*name).to_owned(), Cluster::start(name).await);
        }
        let folder = TempDir::with_prefix("oprc-system-").unwrap();
        Self { pms: Vec::new(), clusters, etcd, folder, settings: Vec::new() }
    }

    /// Sets a variable of the Package Managers that are started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Starts one more replica, and waits until it is ready.
    pub(crate) async fn add_pm(&mut self) {
        let port = free_port();
        let name = format!("pm-{}", self.pms.len());
        let process = self.spawn(&name, port);
        let api = Api::new(format!("http://127.0.0.1:{port}"));
        self.pms.push(Pm { process, api, port, name });
        self.is_ready(self.pms.len() - 1).await;
    }

    /// Starts replica `index` again: same port, same folder. Does not wait until it is ready.
    pub(crate) fn restart(&mut self, index: usize) {
        self.pms[index].process.kill();
        let process = self.spawn(&self.pms[index].name, self.pms[index].port);
        self.pms[index].process = process;
    }

    pub(crate) async fn is_ready(&self, index: usize) {
        let api = &self.pms[index].api;
        eventually("ready", || api.is_ok("/readyz")).await;
    }

    fn spawn(&self, name: &str, port: u16) -> Process {
        let log = self.folder.path().join(format!("{name}.log"));
        Process::start("oprc-pm", &self.variables(port), &log)
    }

    /// The environment of a Package Manager on `port`.
    pub(crate) fn variables(&self, port: u16) -> Vec<(String, String)> {
        let mut variables = BTreeMap::from([
            ("OPRC_PM_SERVER_PORT".to_owned(), port.to_string()),
            ("OPRC_PM_LOG_FORMAT".to_owned(), "text".to_owned()),
            ("OPRC_PM_DATA_DIR".to_owned(), self.data_dir().to_str().unwrap().to_owned()),
        ]);
        if let Some(etcd) = &self.etcd {
            variables.insert("OPRC_PM_STORAGE_TYPE".to_owned(), "etcd".to_owned());
            variables.insert("OPRC_PM_ETCD_ENDPOINTS".to_owned(), etcd.endpoints().join(","));
            variables.remove("OPRC_PM_DATA_DIR");
        }
        for (name, cluster) in &self.clusters {
            let id = name.to_uppercase().replace('-', "_");
            variables.insert(format!("OPRC_PM_CRM_{id}_URL"), cluster.url());
        }
        variables.extend(self.settings.iter().cloned());
        variables.into_iter().collect()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The API of the first replica.
    pub(crate) fn api(&self) -> &Api {
        &self.pms[0].api
    }

    pub(crate) fn cluster(&self, name: &str) -> &Cluster {
        &self.clusters[name]
    }

    /// Puts the package of [`document`]s, version `version`.
    pub(crate) async fn put_package(&self, version: &str) -> Answer {
        let answer = self.api().put("/api/v1/packages/shop", &package(version)).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer
    }

    /// Puts the deployment `key` of that package on `targets`.
    pub(crate) async fn put_deployment(&self, key: &str, targets: &[&str]) -> Answer {
        let path = format!("/api/v1/deployments/{key}");
        let answer = self.api().put(&path, &document(key, targets)).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer
    }

    /// The status of the deployment `key`.
    pub(crate) async fn status(&self, key: &str) -> Value {
        let answer = self.api().get(&format!("/api/v1/deployment-status/{key}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Waits until `key` runs on exactly `targets`, as its newest spec wants it, and the clusters
    /// bear that out. Answers the records, by cluster.
    #[track_caller]
    pub(crate) fn runs_on<'a>(
        &'a self,
        key: &'a str,
        targets: &'a [&str],
    ) -> impl Future<Output = BTreeMap<String, Value>> + 'a {
        eventually("running where it should", move || async move {
            let path = format!("/api/v1/deployment-status/{key}");
            let status = self.api().try_get(&path).await.map_err(|err| json!(err.to_string()))?;
            let status = status.body;
            let is_current = status["generation"].is_u64()
                && status["observed_generation"] == status["generation"]
                && status["observed_package_generation"] == status["package_generation"];
            let parts = status["clusters"].as_array().cloned().unwrap_or_default();
            let names: Vec<_> = parts.iter().filter_map(|part| part["cluster"].as_str()).collect();
            if status["condition"] != "RUNNING" || !is_current || names != targets {
                return Err(status);
            }
            let mut records = BTreeMap::new();
            for part in parts {
                let cluster = part["cluster"].as_str().unwrap().to_owned();
                let record = self.cluster(&cluster).record_of(key).await.ok_or(status.clone())?;
                let is_borne_out = record["id"] == part["unit_id"]
                    && record["generation"] == part["generation"]
                    && record["status"]["condition"] == "RUNNING";
                // The cluster may be ahead: what it holds by now is newer than the status.
                if !is_borne_out {
                    return Err(json!([part, record]));
                }
                records.insert(cluster, record);
            }
            Ok(records)
        })
    }

    /// Waits until nothing of `key` is left: not in the API, not in any cluster.
    #[track_caller]
    pub(crate) fn is_gone<'a>(&'a self, key: &'a str) -> impl Future<Output = ()> + 'a {
        let gone = eventually("gone", move || async move {
            for path in ["deployments", "deployment-status"] {
                let answer = self.api().get(&format!("/api/v1/{path}/{key}")).await;
                if answer.status != 404 {
                    return Err(answer.body);
                }
            }
            Ok(())
        });
        async move {
            gone.await;
            for cluster in self.clusters.values() {
                let record = cluster.record_of(key).await;
                assert_eq!(record, None, "{} still holds it", cluster.name);
            }
        }
    }

    /// Waits until the status of cluster `name` is as `is_so` wants.
    #[track_caller]
    pub(crate) fn cluster_is<'a>(
        &'a self,
        name: &'a str,
        is_so: impl Fn(&Value) -> bool + Copy + 'a,
    ) -> impl Future<Output = Value> + 'a {
        eventually("the cluster's status", move || async move {
            let answer = self.api().get(&format!("/api/v1/clusters/{name}")).await;
            let status = answer.body["status"].clone();
            if is_so(&status) { Ok(status) } else { Err(status) }
        })
    }

    /// Every key below the prefix with its value's revision, and nothing of the lease.
    pub(crate) async fn stored(&self) -> BTreeMap<String, i64> {
        let mut client = self.etcd_client().await;
        let options = GetOptions::new().with_prefix().with_keys_only();
        let found = client.get("/oaas/pm/", Some(options)).await.unwrap();
        let item =
            |kv: &etcd_client::KeyValue| (kv.key_str().unwrap().to_owned(), kv.mod_revision());
        found.kvs().iter().map(item).collect()
    }

    pub(crate) async fn etcd_client(&self) -> Client {
        let etcd = self.etcd.as_ref().unwrap();
        let options = etcd_client::ConnectOptions::new().with_timeout(PATIENCE);
        Client::connect(etcd.endpoints(), Some(options)).await.unwrap()
    }
}

/// A package with one class, `Cart`.
pub(crate) fn package(version: &str) -> Value {
    json!({
        "name": "shop",
        "version": version,
        "classes": [{"key": "Cart", "function_bindings": [
            {"name": "add", "function_key": "cart.add"}]}],
        "functions": [{"key": "cart.add", "provision_config": {
            "container_image": format!("registry.example.com/shop/add:{version}")}}],
    })
}

/// A deployment of its class.
pub(crate) fn document(key: &str, targets: &[&str]) -> Value {
    json!({"key": key, "package_name": "shop", "class_key": "Cart", "target_envs": targets})
}

/// A port that was free a moment ago, and that the system gives to nobody else meanwhile: it is
/// below those that are given out for connections, so a process that is restarted finds it free.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_240..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How long nothing must move for a system to count as quiet: longer than a health check's
/// interval.
pub(crate) const QUIET: Duration = Duration::from_secs(6);
