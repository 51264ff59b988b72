//! What is told of each kind.

use jiff::Timestamp;
use serde_json::Value;

use super::page::Page;
use crate::{
    kind::{Kind, package_of},
    output::{
        age::since,
        columns::{cluster_health, deployment_condition, elements, is_heard, labels, source, text},
    },
    term::Colour,
};

/// Tells all of `item`.
pub(super) fn describe(kind: Kind, item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    match kind {
        Kind::Package => package(item, now, page),
        Kind::Deployment => deployment(item, now, page),
        Kind::Cluster => cluster(item, now, page),
        Kind::Record => record(item, now, page),
        Kind::Class => class(item, page),
        Kind::Function => function(item, page),
        Kind::Bundle => bundle(item, now, page),
        Kind::RoleBinding => role_binding(item, now, page),
    }
}

fn package(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    facts(page, item, &[("Name", "/name"), ("Version", "/version")]);
    meta(item, now, page);
    facts(page, item, &[("Author", "/metadata/author"), ("Description", "/metadata/description")]);
    conditions(item, now, page);
    table(
        page,
        "Dependencies",
        item,
        "/status/dependencies",
        &[
            ("NAME", "/name"),
            ("REQUIREMENT", "/requirement"),
            ("RESOLVED", "/resolved_version"),
            ("SATISFIED", "/satisfied"),
            ("MESSAGE", "/message"),
        ],
    );
    let methods: Vec<Vec<String>> = elements(item, "/classes")
        .iter()
        .flat_map(|class| {
            let bindings = elements(class, "/function_bindings").iter();
            bindings.map(|binding| {
                vec![
                    text(class, "/key"),
                    text(binding, "/name"),
                    text(binding, "/function_key"),
                    text(binding, "/access_modifier"),
                ]
            })
        })
        .collect();
    table(
        page,
        "Classes",
        item,
        "/classes",
        &[
            ("KEY", "/key"),
            ("CONSISTENCY", "/state_spec/consistency_model"),
            ("DESCRIPTION", "/description"),
        ],
    );
    page.table("Methods", &["CLASS", "NAME", "FUNCTION", "ACCESS"], &methods);
    table(page, "Functions", item, "/functions", FUNCTION_COLUMNS);
    table(page, "Deployments", item, "/deployments", &[("KEY", "/key"), ("CLASS", "/class_key")]);
}

fn bundle(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    facts(page, item, &[("Name", "/name"), ("Generation", "/generation")]);
    times(page, item, now, &[("Created", "/created_at"), ("Updated", "/updated_at")]);
    page.fact("Source", &source(item));
    facts(page, item, &[("By", "/written_by"), ("Correlation id", "/correlation_id")]);
    table(page, "Documents", item, "/documents", &[("KIND", "/kind"), ("NAME", "/name")]);
}

fn role_binding(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    facts(page, item, &[("Name", "/name"), ("Role", "/role")]);
    for (name, pointer) in
        [("Subjects", "/subjects"), ("Groups", "/groups"), ("Packages", "/packages")]
    {
        page.fact(name, &words(item, pointer));
    }
    meta(item, now, page);
    facts(page, item, &[("By", "/meta/written_by")]);
}

const FUNCTION_COLUMNS: &[(&str, &str)] = &[
    ("KEY", "/key"),
    ("TYPE", "/function_type"),
    ("IMAGE", "/provision_config/container_image"),
    ("MODULE", "/provision_config/wasm_module_url"),
];

fn deployment(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    facts(
        page,
        item,
        &[
            ("Key", "/key"),
            ("Package", "/package_name"),
            ("Pinned to", "/package_version"),
            ("Version", "/status/package_version"),
            ("Class", "/class_key"),
        ],
    );
    page.fact("Condition", &deployment_condition(item));
    meta(item, now, page);
    page.fact("Observed", &text(item, "/status/observed_generation"));
    for (name, pointer) in [
        ("Targets", "/target_envs"),
        ("Allowed", "/available_envs"),
        ("Excluded", "/excluded_envs"),
    ] {
        page.fact(name, &words(item, pointer));
    }
    facts(
        page,
        item,
        &[
            ("Availability", "/nfr_requirements/availability"),
            ("Throughput", "/nfr_requirements/min_throughput_rps"),
            ("CPU target", "/nfr_requirements/cpu_utilization_target"),
        ],
    );
    conditions(item, now, page);
    table(
        page,
        "Clusters",
        item,
        "/status/clusters",
        &[
            ("CLUSTER", "/cluster"),
            ("DESIRED", "/desired"),
            ("CONDITION", "/condition"),
            ("GENERATION", "/generation"),
            ("OBSERVED", "/observed_generation"),
            ("UNIT", "/unit_id"),
            ("REASON", "/reason"),
            ("MESSAGE", "/message"),
        ],
    );
    let functions: Vec<Vec<String>> = elements(item, "/status/clusters")
        .iter()
        .flat_map(|part| {
            elements(part, "/functions").iter().map(|function| {
                let mut row = vec![text(part, "/cluster")];
                row.extend(row_of(function, FUNCTION_STATUS_COLUMNS));
                row
            })
        })
        .collect();
    let headings: Vec<&str> = std::iter::once("CLUSTER")
        .chain(FUNCTION_STATUS_COLUMNS.iter().map(|(heading, _)| *heading))
        .collect();
    page.table("Functions", &headings, &functions);
}

const FUNCTION_STATUS_COLUMNS: &[(&str, &str)] = &[
    ("FUNCTION", "/function_key"),
    ("READY", "/ready"),
    ("REPLICAS", "/replicas_ready"),
    ("URL", "/url"),
    ("REASON", "/reason"),
    ("MESSAGE", "/message"),
];

fn cluster(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    facts(
        page,
        item,
        &[
            ("Name", "/name"),
            ("Status", "/status/connectivity"),
            ("Message", "/status/message"),
            ("Breaker", "/status/breaker"),
        ],
    );
    page.fact("Health", &cluster_health(item));
    facts(page, item, &[("Version", "/status/health/crm_version")]);
    if is_heard(item) {
        let now_so = [
            ("Nodes", "/status/health/node_count"),
            ("Ready nodes", "/status/health/ready_nodes"),
            ("Availability", "/status/health/availability"),
        ];
        facts(page, item, &now_so);
    }
    facts(page, item, &[("Unmanaged", "/status/unmanaged_records")]);
    if let Some(at) = item.pointer("/status/since") {
        page.fact("Since", &format!("{} ago", since(Some(at), now)));
    }
    page.fact("Endpoints", &words(item, "/endpoints"));
    page.fact("Features", &words(item, "/status/health/features"));
    meta(item, now, page);
    conditions(item, now, page);
}

fn record(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    facts(
        page,
        item,
        &[
            ("Id", "/id"),
            ("Deployment", "/deployment_key"),
            ("Cluster", "/cluster"),
            ("Managed", "/managed"),
            ("Stale", "/stale"),
            ("Condition", "/record/status/condition"),
            ("Phase", "/record/status/phase"),
            ("Message", "/record/status/message"),
            ("Generation", "/record/generation"),
            ("Owner", "/record/owner"),
            ("Refused", "/refusal/generation"),
            ("Refused with", "/refusal/code"),
            ("Refused as", "/refusal/message"),
        ],
    );
    page.fact("Observed", &format!("{} ago", since(item.get("observed_at"), now)));
    page.fact("Resources", &words(item, "/record/resource_refs"));
    table(page, "Functions", item, "/record/status/functions", FUNCTION_STATUS_COLUMNS);
    table(
        page,
        "Instances",
        item,
        "/record/runtime",
        &[("ID", "/instance_id"), ("STATUS", "/status"), ("REQUESTS", "/metrics/request_count")],
    );
}

fn class(item: &Value, page: &mut Page<'_, '_>) {
    page.fact("Package", package_of(item));
    facts(
        page,
        item,
        &[
            ("Key", "/key"),
            ("Description", "/description"),
            ("Provider", "/state_spec/default_provider"),
            ("Consistency", "/state_spec/consistency_model"),
            ("Persistent", "/state_spec/persistent"),
        ],
    );
    let columns = [
        ("NAME", "/name"),
        ("FUNCTION", "/function_key"),
        ("ACCESS", "/access_modifier"),
        ("STATELESS", "/stateless"),
    ];
    table(page, "Methods", item, "/function_bindings", &columns);
    let columns = [("NAME", "/name"), ("TYPE", "/key_type")];
    table(page, "State", item, "/state_spec/key_specs", &columns);
}

fn function(item: &Value, page: &mut Page<'_, '_>) {
    page.fact("Package", package_of(item));
    facts(
        page,
        item,
        &[
            ("Key", "/key"),
            ("Type", "/function_type"),
            ("Description", "/description"),
            ("Image", "/provision_config/container_image"),
            ("Module", "/provision_config/wasm_module_url"),
            ("Port", "/provision_config/port"),
            ("Replicas from", "/provision_config/min_scale"),
            ("Replicas to", "/provision_config/max_scale"),
            ("CPU", "/provision_config/cpu_request"),
            ("Memory", "/provision_config/memory_request"),
        ],
    );
}

/// The system's own fields, and the labels.
fn meta(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    page.fact("Generation", &text(item, "/meta/generation"));
    let moments = [
        ("Created", "/meta/created_at"),
        ("Updated", "/meta/updated_at"),
        ("Paused", "/meta/paused_at"),
        ("Deleting", "/meta/deletion_requested_at"),
    ];
    times(page, item, now, &moments);
    facts(page, item, &[("Owner", "/meta/owner"), ("Uid", "/meta/uid")]);
    page.fact("Labels", &labels(item));
}

fn times(page: &mut Page<'_, '_>, item: &Value, now: Timestamp, times: &[(&str, &str)]) {
    for (name, pointer) in times {
        if let Some(at) = item.pointer(pointer).filter(|at| !at.is_null()) {
            page.fact(name, &format!("{} ({} ago)", text(item, pointer), since(Some(at), now)));
        }
    }
}

fn conditions(item: &Value, now: Timestamp, page: &mut Page<'_, '_>) {
    let row = |condition: &Value| {
        let mut row = row_of(condition, &[("", "/type"), ("", "/status"), ("", "/reason")]);
        row.push(since(condition.get("last_transition_time"), now));
        row.push(text(condition, "/message"));
        row
    };
    let rows: Vec<Vec<String>> = elements(item, "/status/conditions").iter().map(row).collect();
    let headings = ["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"];
    page.painted("Conditions", &headings, &rows, |row, column, _| {
        match (column, rows.get(row).map(Vec::as_slice)) {
            (1, Some([r#type, status, reason, ..])) => Colour::of_condition(r#type, status, reason),
            _ => Colour::None,
        }
    });
}

fn facts(page: &mut Page<'_, '_>, item: &Value, facts: &[(&str, &str)]) {
    for (name, pointer) in facts {
        page.fact(name, &text(item, pointer));
    }
}

/// A table of the elements at `pointer`: headings, and where each cell is in an element.
fn table(
    page: &mut Page<'_, '_>,
    title: &str,
    item: &Value,
    pointer: &str,
    columns: &[(&str, &str)],
) {
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let rows: Vec<Vec<String>> =
        elements(item, pointer).iter().map(|element| row_of(element, columns)).collect();
    page.table(title, &headings, &rows);
}

fn row_of(element: &Value, columns: &[(&str, &str)]) -> Vec<String> {
    columns.iter().map(|(_, pointer)| text(element, pointer)).collect()
}

fn words(item: &Value, pointer: &str) -> String {
    let words: Vec<&str> = elements(item, pointer).iter().filter_map(Value::as_str).collect();
    words.join(", ")
}
