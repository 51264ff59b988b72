//! What the tables show of each kind.
//!
//! Read from the JSON as it came: a newer server's words are shown as they are, and what an older
//! one leaves out is `-`.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use crate::kind::{Kind, package_of};

/// A column: its heading, whether only `-o wide` has it, and its cell for an item.
pub(crate) struct Column {
    pub(crate) heading: &'static str,
    is_wide: bool,
    cell: fn(&Value) -> String,
}

const fn column(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, is_wide: false, cell }
}

const fn wide(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, is_wide: true, cell }
}

/// The columns of `kind` but its age.
fn all(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Package => PACKAGES,
        Kind::Deployment => DEPLOYMENTS,
        Kind::Cluster => CLUSTERS,
        Kind::Record => RECORDS,
        Kind::Class => CLASSES,
        Kind::Function => FUNCTIONS,
        Kind::Bundle => BUNDLES,
        Kind::RoleBinding => ROLE_BINDINGS,
    }
}

const PACKAGES: &[Column] = &[
    column("NAME", |item| text(item, "/name")),
    column("VERSION", |item| text(item, "/version")),
    column("CLASSES", |item| count(item, "/classes")),
    column("FUNCTIONS", |item| count(item, "/functions")),
    column("READY", |item| condition(item, "Ready", "/status")),
    wide("REASON", |item| condition(item, "Ready", "/reason")),
    wide("GENERATION", |item| text(item, "/meta/generation")),
    wide("DEPENDENCIES", |item| words(item, "/dependencies")),
    wide("LABELS", labels),
];

const DEPLOYMENTS: &[Column] = &[
    column("KEY", |item| text(item, "/key")),
    column("PACKAGE", |item| text(item, "/package_name")),
    column("CLASS", |item| text(item, "/class_key")),
    column("CONDITION", deployment_condition),
    column("CLUSTERS", clusters_ready),
    column("GENERATION", |item| text(item, "/meta/generation")),
    wide("OBSERVED", |item| text(item, "/status/observed_generation")),
    wide("VERSION", |item| text(item, "/status/package_version")),
    wide("ON", clusters),
    wide("REASON", |item| condition(item, "Ready", "/reason")),
    wide("LABELS", labels),
];

const CLUSTERS: &[Column] = &[
    column("NAME", |item| text(item, "/name")),
    column("STATUS", |item| text(item, "/status/connectivity")),
    column("BREAKER", |item| text(item, "/status/breaker")),
    column("HEALTH", cluster_health),
    column("NODES", nodes),
    column("VERSION", |item| text(item, "/status/health/crm_version")),
    wide("UNMANAGED", |item| text(item, "/status/unmanaged_records")),
    wide("FEATURES", |item| words(item, "/status/health/features")),
    wide("ENDPOINTS", |item| words(item, "/endpoints")),
    wide("MESSAGE", |item| text(item, "/status/message")),
];

const RECORDS: &[Column] = &[
    column("ID", |item| text(item, "/id")),
    column("DEPLOYMENT", |item| text(item, "/deployment_key")),
    column("CLUSTER", |item| text(item, "/cluster")),
    column("CONDITION", |item| text(item, "/record/status/condition")),
    column("GENERATION", |item| text(item, "/record/generation")),
    column("STALE", |item| text(item, "/stale")),
    wide("PHASE", |item| text(item, "/record/status/phase")),
    wide("MANAGED", |item| text(item, "/managed")),
    wide("REFUSED", |item| text(item, "/refusal/message")),
    wide("MESSAGE", |item| text(item, "/record/status/message")),
];

const CLASSES: &[Column] = &[
    column("KEY", |item| text(item, "/key")),
    column("PACKAGE", |item| dash(package_of(item))),
    column("METHODS", |item| count(item, "/function_bindings")),
    column("CONSISTENCY", |item| text(item, "/state_spec/consistency_model")),
    column("PERSISTENT", |item| text(item, "/state_spec/persistent")),
    wide("DESCRIPTION", |item| text(item, "/description")),
];

const FUNCTIONS: &[Column] = &[
    column("KEY", |item| text(item, "/key")),
    column("PACKAGE", |item| dash(package_of(item))),
    column("TYPE", |item| text(item, "/function_type")),
    column("CODE", |item| {
        let image = text(item, "/provision_config/container_image");
        if image == "-" { text(item, "/provision_config/wasm_module_url") } else { image }
    }),
    wide("MIN", |item| text(item, "/provision_config/min_scale")),
    wide("MAX", |item| text(item, "/provision_config/max_scale")),
    wide("CPU", |item| text(item, "/provision_config/cpu_request")),
    wide("MEMORY", |item| text(item, "/provision_config/memory_request")),
    wide("DESCRIPTION", |item| text(item, "/description")),
];

const BUNDLES: &[Column] = &[
    column("NAME", |item| text(item, "/name")),
    column("PACKAGES", |item| text(item, "/n_packages")),
    column("DEPLOYMENTS", |item| text(item, "/n_deployments")),
    column("SOURCE", source),
    column("BY", |item| text(item, "/written_by")),
    wide("GENERATION", |item| text(item, "/generation")),
    wide("CORRELATION-ID", |item| text(item, "/correlation_id")),
];

const ROLE_BINDINGS: &[Column] = &[
    column("NAME", |item| text(item, "/name")),
    column("ROLE", |item| text(item, "/role")),
    column("SUBJECTS", |item| words(item, "/subjects")),
    column("GROUPS", |item| words(item, "/groups")),
    column("PACKAGES", |item| words(item, "/packages")),
    wide("GENERATION", |item| text(item, "/meta/generation")),
    wide("BY", |item| text(item, "/meta/written_by")),
];

/// Where the time that the age is counted from is; none: the kind has no age.
fn born(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Package | Kind::Deployment | Kind::Cluster | Kind::RoleBinding => {
            Some("/meta/created_at")
        }
        Kind::Bundle => Some("/updated_at"),
        Kind::Record => Some("/observed_at"),
        Kind::Class | Kind::Function => None,
    }
}

/// The headings of `kind`.
pub(crate) fn headings(kind: Kind, is_wide: bool) -> Vec<&'static str> {
    let age = born(kind).map(|_| "AGE");
    shown(kind, is_wide).map(|column| column.heading).chain(age).collect()
}

/// The cells of `item`, one for each heading.
pub(crate) fn cells(kind: Kind, is_wide: bool, item: &Value, now: Timestamp) -> Vec<String> {
    let age = born(kind).map(|pointer| age::since(item.pointer(pointer), now));
    shown(kind, is_wide).map(|column| (column.cell)(item)).chain(age).collect()
}

fn shown(kind: Kind, is_wide: bool) -> impl Iterator<Item = &'static Column> {
    all(kind).iter().filter(move |column| is_wide || !column.is_wide)
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// The scalar at `pointer`, `-` where there is none.
pub(crate) fn text(item: &Value, pointer: &str) -> String {
    match item.pointer(pointer) {
        Some(Value::String(text)) => dash(text),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => "-".to_owned(),
    }
}

/// The elements at `pointer`.
pub(crate) fn elements<'a>(item: &'a Value, pointer: &str) -> &'a [Value] {
    item.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn count(item: &Value, pointer: &str) -> String {
    elements(item, pointer).len().to_string()
}

fn words(item: &Value, pointer: &str) -> String {
    let words: Vec<&str> = elements(item, pointer).iter().filter_map(Value::as_str).collect();
    dash(&words.join(","))
}

/// The labels, `a=b,c=d`.
pub(crate) fn labels(item: &Value) -> String {
    let Some(labels) = item.get("labels").and_then(Value::as_object) else { return dash("") };
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    dash(&pairs.join(","))
}

/// Where it is kept: `repository@commit`, or one of the two.
pub(crate) fn source(item: &Value) -> String {
    let [repository, commit] = ["/source/repository", "/source/commit"].map(|at| text(item, at));
    match (repository.as_str(), commit.as_str()) {
        (_, "-") => repository,
        ("-", _) => commit,
        _ => format!("{repository}@{commit}"),
    }
}

/// A field of the condition of this type.
fn condition(item: &Value, r#type: &str, field: &str) -> String {
    let is_it = |condition: &&Value| condition.get("type").and_then(Value::as_str) == Some(r#type);
    let found = elements(item, "/status/conditions").iter().find(is_it);
    found.map_or_else(|| dash(""), |condition| text(condition, field))
}

/// Returns `true` if there is something at `pointer`.
pub(crate) fn has(item: &Value, pointer: &str) -> bool {
    item.pointer(pointer).is_some_and(|found| !found.is_null())
}

/// Returns the deployment's run state, marked if it is paused or refused an update:
/// `RUNNING (paused)`. Of one whose deletion was asked for, that.
pub(crate) fn deployment_condition(item: &Value) -> String {
    if has(item, "/meta/deletion_requested_at") {
        return "DELETING".to_owned();
    }
    let state = text(item, "/status/condition");
    let is_refused = condition(item, "Progressing", "/reason") == "Refused"
        && condition(item, "Progressing", "/status") == "False";
    if has(item, "/meta/paused_at") {
        format!("{state} (paused)")
    } else if is_refused {
        format!("{state} (refused)")
    } else {
        state
    }
}

/// Returns `true` if the cluster is heard from. What an unheard one said before counts no more.
pub(crate) fn is_heard(item: &Value) -> bool {
    text(item, "/status/connectivity") == "CONNECTED"
}

/// Returns the cluster's health: unknown where it is not heard from, whatever it said before.
pub(crate) fn cluster_health(item: &Value) -> String {
    if is_heard(item) { text(item, "/status/health/status") } else { "UNKNOWN".to_owned() }
}

/// Returns the number of clusters that run it, of those that are to: `2/3`. A server that does not
/// count knows of no clusters but those that have a unit.
fn clusters_ready(item: &Value) -> String {
    let [running, wanted] =
        ["/status/running_clusters", "/status/wanted_clusters"].map(|count| text(item, count));
    if running != "-" && wanted != "-" {
        return format!("{running}/{wanted}");
    }
    let parts = elements(item, "/status/clusters").iter();
    let wanted: Vec<&Value> = parts.filter(|part| text(part, "/desired") != "ABSENT").collect();
    let ready = wanted.iter().filter(|part| text(part, "/condition") == "RUNNING").count();
    format!("{ready}/{}", wanted.len())
}

fn clusters(item: &Value) -> String {
    let names: Vec<String> =
        elements(item, "/status/clusters").iter().map(|part| text(part, "/cluster")).collect();
    dash(&names.join(","))
}

/// Nodes that are ready, of all: `3/3`.
fn nodes(item: &Value) -> String {
    if !is_heard(item) {
        return "-".to_owned();
    }
    let (ready, all) =
        (text(item, "/status/health/ready_nodes"), text(item, "/status/health/node_count"));
    if all == "-" { all } else { format!("{ready}/{all}") }
}
