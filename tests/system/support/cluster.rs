//! A cluster: the reference CRM in this process, behind a proxy.

use std::collections::BTreeMap;

use oprc_crm::server::{self, Running};
use serde_json::{Value, json};

use super::{
    http::Api,
    proxy::{Effect, Mode, Proxy},
};

/// A cluster whose CRM keeps what it holds in memory.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    proxy: Proxy,
    crm: Running,
}

impl Cluster {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// With `more` variables of the CRM.
    pub(crate) async fn start_with(name: &str, more: &[(&str, &str)]) -> Self {
        let crm = crm(name, more).await;
        let proxy = Proxy::start(crm.url()).await;
        Self { name: name.to_owned(), proxy, crm }
    }

    /// The URL that a Package Manager is given.
    pub(crate) fn url(&self) -> String {
        self.proxy.url()
    }

    /// The CRM itself, past the proxy.
    pub(crate) fn api(&self) -> Api {
        Api::new(self.crm.url())
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.proxy.set_mode(mode);
    }

    pub(crate) fn lose_answers(&self, n_calls: usize) {
        self.proxy.lose_answers(n_calls);
    }

    pub(crate) fn n_to_lose(&self) -> usize {
        self.proxy.n_to_lose()
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.proxy.effects()
    }

    /// Correlation ids of the calls for units, in their order.
    pub(crate) fn correlation_ids(&self) -> Vec<String> {
        self.proxy.correlation_ids()
    }

    /// Calls for units that came in, whatever became of them.
    pub(crate) fn n_calls(&self) -> usize {
        self.proxy.n_calls()
    }

    /// Rebuilds the cluster: its CRM forgets everything.
    pub(crate) async fn wipe(&mut self) {
        let crm = crm(&self.name, &[]).await;
        self.proxy.set_upstream(crm.url());
        // What was connected to the old one must not go on with it.
        self.proxy.set_mode(Mode::Closed);
        self.proxy.set_mode(Mode::Up);
        std::mem::replace(&mut self.crm, crm).shutdown().await.unwrap();
    }

    /// What the CRM holds, by unit id.
    pub(crate) async fn records(&self) -> BTreeMap<String, Value> {
        let items = self.api().list("/api/v1/deployment-records").await;
        let id = |record: &Value| record["id"].as_str().unwrap().to_owned();
        items.into_iter().map(|record| (id(&record), record)).collect()
    }

    /// The record of `deployment`; wants at most one.
    pub(crate) async fn record_of(&self, deployment: &str) -> Option<Value> {
        let records = self.records().await;
        let mut of = records.into_values().filter(|record| record["deployment_key"] == deployment);
        let record = of.next();
        assert!(of.next().is_none(), "{}: two records of {deployment}", self.name);
        record
    }

    /// Has the CRM take a unit that nobody asked the Package Manager for.
    pub(crate) async fn insert(&self, id: &str, owner: &str) {
        let unit = json!({
            "id": id,
            "deployment_key": format!("stray.{id}"),
            "package_name": "stray",
            "class_key": "Stray",
            "target_env": self.name,
            "generation": 1,
            "spec_hash": "stray",
            "owner": owner,
            "functions": [],
            "created_at": "2026-01-01T00:00:00Z",
        });
        let answer = self.api().post("/api/v1/deployments", &unit).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

async fn crm(name: &str, more: &[(&str, &str)]) -> Running {
    let all = [
        ("OPRC_CRM_CLUSTER_NAME", name),
        ("OPRC_CRM_PORT", "0"),
        ("OPRC_CRM_STORAGE_TYPE", "memory"),
        ("OPRC_CRM_BOOKMARK_SECS", "1"),
        ("OPRC_CRM_SIMULATED_START_MS", "50"),
        ("OPRC_CRM_SIMULATED_STOP_MS", "50"),
    ];
    let all = all.iter().chain(more);
    let variables = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = oprc_config::crm::Config::parse(variables).unwrap();
    server::start(config).await.unwrap()
}
