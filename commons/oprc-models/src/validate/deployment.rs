//! The rules of deployments.

use super::{
    MAX_DEPLOYMENTS, MAX_ENTRIES, MAX_PARTITIONS, MAX_REPLICAS, MAX_SHARDS, provision,
    report::Report, secrets,
};
use crate::{
    deployment::{
        FunctionOverride, NfrRequirements, OClassDeployment, OdgmConfig, TelemetryConfig,
    },
    pointer::{index, key},
};

/// Checks deployments that a document holds under `deployments`.
pub(super) fn check_list(report: &mut Report, list: &[OClassDeployment]) {
    if !report.count("/deployments", list.len(), MAX_DEPLOYMENTS) {
        return;
    }
    report.unique("/deployments", "key", list.iter().map(|deployment| deployment.key.as_str()));
    for (i, deployment) in list.iter().enumerate() {
        check(report, &index("/deployments", i), deployment);
    }
}

/// Checks a deployment that is at `at`.
pub(super) fn check(report: &mut Report, at: &str, deployment: &OClassDeployment) {
    if let Some(Err(message)) = deployment.requirement() {
        report.add(key(at, "package_version"), message);
    }
    report.no_twice(&key(at, "target_envs"), &deployment.target_envs);
    report.no_twice(&key(at, "available_envs"), &deployment.available_envs);
    report.no_twice(&key(at, "excluded_envs"), &deployment.excluded_envs);
    requirements(report, &key(at, "nfr_requirements"), &deployment.nfr_requirements);
    let templates = key(at, "env_templates");
    report.count(&templates, deployment.env_templates.len(), MAX_ENTRIES);
    for (cluster, template) in &deployment.env_templates {
        report.word(&key(&templates, cluster.as_str()), template);
    }
    overrides(report, &key(at, "functions"), &deployment.functions);
    if let Some(odgm) = &deployment.odgm {
        check_odgm(report, &key(at, "odgm"), odgm);
    }
    if let Some(telemetry) = &deployment.telemetry {
        check_telemetry(report, &key(at, "telemetry"), telemetry);
    }
    report.settings(&key(at, "labels"), &deployment.labels);
}

fn requirements(report: &mut Report, at: &str, nfr: &NfrRequirements) {
    report.range(at, "min_throughput_rps", nfr.min_throughput_rps, 1, u32::MAX);
    report.share(at, "availability", nfr.availability);
    report.share(at, "cpu_utilization_target", nfr.cpu_utilization_target);
}

fn overrides(report: &mut Report, at: &str, functions: &[FunctionOverride]) {
    report.count(at, functions.len(), MAX_ENTRIES);
    let keys = functions.iter().map(|function| function.function_key.as_str());
    report.unique(at, "function_key", keys);
    for (i, function) in functions.iter().enumerate() {
        let at = index(at, i);
        if let Some(location) = &function.available_location {
            report.word(&key(&at, "available_location"), location);
        }
        if let Some(nfr) = &function.qos_requirement {
            requirements(report, &key(&at, "qos_requirement"), nfr);
        }
        if let Some(config) = &function.provision_config {
            provision::check(report, &key(&at, "provision_config"), config);
        }
        report.environment(&key(&at, "config"), &function.config);
        secrets::check(report, &key(&at, "secrets"), &function.secrets, &function.config);
    }
}

fn check_odgm(report: &mut Report, at: &str, odgm: &OdgmConfig) {
    let collections = key(at, "collections");
    report.words(&collections, &odgm.collections);
    report.unique(&collections, "", odgm.collections.iter().map(String::as_str));
    report.range(at, "partition_count", odgm.partition_count, 1, MAX_PARTITIONS);
    report.range(at, "replica_count", odgm.replica_count, 1, MAX_REPLICAS);
    let partitions = odgm.partition_count.unwrap_or(1).min(MAX_PARTITIONS);
    let replicas = odgm.replica_count.unwrap_or(1).min(MAX_REPLICAS);
    let shards = partitions.saturating_mul(replicas);
    if shards > MAX_SHARDS {
        let message = format_args!(
            "{partitions} partitions of {replicas} replicas are {shards} shards: want at most \
             {MAX_SHARDS}"
        );
        report.add(key(at, "partition_count"), message);
    }
    let nodes = key(at, "env_node_ids");
    report.count(&nodes, odgm.env_node_ids.len(), MAX_ENTRIES);
    for (cluster, ids) in &odgm.env_node_ids {
        let at = key(&nodes, cluster.as_str());
        report.count(&at, ids.len(), MAX_ENTRIES);
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
            report.add(at, "a node id is given more than once");
        }
    }
    for (field, text) in [("shard_type", &odgm.shard_type), ("log", &odgm.log)] {
        if let Some(text) = text {
            report.word(&key(at, field), text);
        }
    }
    report.settings(&key(at, "options"), &odgm.options);
}

fn check_telemetry(report: &mut Report, at: &str, telemetry: &TelemetryConfig) {
    report.share(at, "sampling_rate", telemetry.sampling_rate);
    if let Some(name) = &telemetry.service_name {
        report.word(&key(at, "service_name"), name);
    }
    report.settings(&key(at, "resource_attributes"), &telemetry.resource_attributes);
}
