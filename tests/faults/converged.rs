//! Whether every cluster holds exactly what is desired, the store nothing else, and the statuses
//! say so.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::GetOptions;
use serde_json::Value;
use tokio::time::sleep;

use super::ring::Ring;
use crate::support::{Api, eventually};

/// Documents, units and records fit into one page.
const PAGE: &str = "?limit=1000";

/// What is to be seen once nothing moves any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The newest revision that the store has.
    revision: u64,
    /// Of each cluster: the records that its CRM has, as they are.
    records: Vec<Vec<Value>>,
}

/// Every item of the list at `path`.
async fn items(api: &Api, path: &str) -> Result<Value, String> {
    let answer = api.try_get(&format!("{path}{PAGE}")).await.map_err(|err| format!("{err:?}"))?;
    let is_whole = answer.status == 200 && answer.body["continue"].is_null();
    if is_whole { Ok(answer.body) } else { Err(format!("{path}: {answer:?}")) }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Looks once.
///
/// # Errors
///
/// What is not as it should be.
pub(crate) async fn look(ring: &Ring) -> Result<Seen, String> {
    let mut documents: Option<BTreeMap<String, Value>> = None;
    let mut revision = 0;
    for replica in &ring.replicas {
        replica.api.is_ok("/readyz").await?;
        let list = items(&replica.api, "/api/v1/deployments").await?;
        revision = list["revision"].as_u64().ok_or_else(|| format!("no revision in {list}"))?;
        let items = list["items"].as_array().ok_or("no items")?;
        if let Some(item) = items.iter().find(|item| !runs(item)) {
            return Err(format!("it does not run: {item}"));
        }
        let metas: BTreeMap<_, _> =
            items.iter().map(|item| (text(&item["key"]), item["meta"].clone())).collect();
        if documents.as_ref().is_some_and(|others| *others != metas) {
            return Err("the replicas do not agree".to_owned());
        }
        documents = Some(metas);
    }
    let documents = documents.unwrap_or_default();
    let wanted = wanted(&ring.replicas[0].api, documents.keys()).await?;
    let mut records = Vec::new();
    for crm in &ring.crms {
        let list = items(&crm.api, "/api/v1/deployment-records").await?;
        let list = list["items"].as_array().ok_or("no items")?.clone();
        holds_exactly(&list, wanted.get(&crm.name).unwrap_or(&BTreeMap::new()))
            .map_err(|reason| format!("{}: {reason}", crm.name))?;
        records.push(list);
    }
    if ring.is_on_etcd() {
        stores_exactly(ring, &documents, &wanted).await?;
    }
    Ok(Seen { revision, records })
}

/// Whether its status speaks of its newest spec, and says that it runs.
fn runs(item: &Value) -> bool {
    item["meta"]["deletion_requested_at"].is_null()
        && item["status"]["condition"] == "RUNNING"
        && item["status"]["observed_generation"] == item["meta"]["generation"]
        && item["status"]["stale"].is_null()
}

/// By cluster: unit ids with deployment and generation.
type Units = BTreeMap<String, BTreeMap<String, (String, u64)>>;

/// The units that are wanted, as the statuses have them.
async fn wanted(api: &Api, keys: impl Iterator<Item = &String>) -> Result<Units, String> {
    let mut units = Units::new();
    for key in keys {
        let path = format!("/api/v1/deployment-status/{key}");
        let status = api.try_get(&path).await.map_err(|err| format!("{err:?}"))?.body;
        let document = api.try_get(&format!("/api/v1/deployments/{key}")).await;
        let document = document.map_err(|err| format!("{err:?}"))?.body;
        let parts = status["clusters"].as_array().ok_or_else(|| format!("{key}: {status}"))?;
        let clusters: Vec<&Value> = parts.iter().map(|part| &part["cluster"]).collect();
        let targets: Vec<&Value> =
            document["target_envs"].as_array().into_iter().flatten().collect();
        let is_current = status["observed_generation"] == document["meta"]["generation"]
            && parts.iter().all(|part| {
                part["desired"] == "PRESENT" && part["observed_generation"] == part["generation"]
            });
        if clusters != targets || !is_current {
            return Err(format!("{key} wants {targets:?}: {status}"));
        }
        for part in parts {
            let generation = part["generation"].as_u64().unwrap_or_default();
            let unit = (key.clone(), generation);
            units.entry(text(&part["cluster"])).or_default().insert(text(&part["unit_id"]), unit);
        }
    }
    Ok(units)
}

/// Each unit that is wanted once, with its generation, running; and no other.
fn holds_exactly(
    records: &[Value],
    wanted: &BTreeMap<String, (String, u64)>,
) -> Result<(), String> {
    let mut left: BTreeSet<&String> = wanted.keys().collect();
    for record in records {
        let id = text(&record["id"]);
        let (key, generation) = wanted.get(&id).ok_or_else(|| format!("unwanted: {record}"))?;
        let is_so = record["deployment_key"] == key.as_str()
            && record["generation"].as_u64() == Some(*generation)
            && record["status"]["condition"] == "RUNNING";
        if !is_so || !left.remove(&id) {
            return Err(format!("{id} of {key} is wanted once, at {generation}: {record}"));
        }
    }
    if left.is_empty() { Ok(()) } else { Err(format!("lacks {left:?}")) }
}

/// The store holds units, records and statuses of what is wanted, and none besides.
async fn stores_exactly(
    ring: &Ring,
    documents: &BTreeMap<String, Value>,
    wanted: &Units,
) -> Result<(), String> {
    let mut client = ring.node_client(0).await.map_err(|err| err.to_string())?;
    let options = GetOptions::new().with_prefix().with_keys_only();
    let prefix = "/oaas/pm/";
    let found = client.get(prefix, Some(options)).await.map_err(|err| err.to_string())?;
    let families =
        ["deployments/", "deployment-revisions/", "status/deployments/", "units/", "records/"];
    let found: BTreeSet<String> = found
        .kvs()
        .iter()
        .filter_map(|kv| kv.key_str().ok()?.strip_prefix(prefix).map(str::to_owned))
        .filter(|key| families.iter().any(|family| key.starts_with(family)))
        .collect();
    // Of what is gone, nothing is kept; of what is there, how many depends on what befell it.
    let found: BTreeSet<String> = found
        .into_iter()
        .filter(|key| {
            let revision = key.strip_prefix("deployment-revisions/");
            let of = revision.and_then(|key| key.rsplit_once('/'));
            of.is_none_or(|(key, _)| !documents.contains_key(key))
        })
        .collect();
    let mut want = BTreeSet::new();
    for key in documents.keys() {
        want.extend([format!("deployments/{key}"), format!("status/deployments/{key}")]);
    }
    for (cluster, units) in wanted {
        for (id, (key, _)) in units {
            want.extend([format!("units/{cluster}/{key}"), format!("records/{cluster}/{id}")]);
        }
    }
    let differs: Vec<_> = found.symmetric_difference(&want).collect();
    if differs.is_empty() { Ok(()) } else { Err(format!("left over or missing: {differs:?}")) }
}

/// Waits until two looks, some time apart, show the same: nothing is written, nothing is called.
pub(crate) async fn quiet(ring: &Ring) {
    eventually("nothing moves", || async {
        let before = look(ring).await?;
        sleep(ring.pace.quiet).await;
        let after = look(ring).await?;
        if before == after { Ok(()) } else { Err("it moves".to_owned()) }
    })
    .await;
}
