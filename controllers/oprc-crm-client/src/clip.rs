//! Limits of what a CRM's documents may make us hold and store.
//!
//! Texts are for people, so what is too long is cut; the number of records and their sum are the
//! caller's to bound.

use std::collections::BTreeMap;

use oprc_models::{
    cluster::ClusterHealth,
    record::{DeploymentRecord, FunctionStatus, RuntimeState},
};

use crate::answer::MAX_MESSAGE_CHARS;

/// The longest `continue`, in bytes: it becomes part of a URL.
pub(crate) const MAX_TOKEN_BYTES: usize = 4096;

/// The longest word: a phase, a reason, an owner, a hash, a label, in bytes.
const MAX_WORD_BYTES: usize = 253;

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// The most functions, references and instances of one record.
///
/// Why 1,024: four times the functions that the reference CRM takes in one unit.
const MAX_PARTS: usize = 1024;

/// The most labels and the most features of a cluster.
const MAX_LABELS: usize = 64;

/// The largest `capacity` of a cluster, as JSON in bytes.
const MAX_CAPACITY_BYTES: usize = 16 * 1024;

/// Cuts what is too long in `record`, and drops what is never kept: measurements are for metrics
/// systems.
pub(crate) fn bound(record: &mut DeploymentRecord) {
    record.nfr_compliance = None;
    cut(&mut record.owner, MAX_WORD_BYTES);
    cut(&mut record.spec_hash, MAX_WORD_BYTES);
    cut(&mut record.status.phase, MAX_WORD_BYTES);
    cut_all(&mut record.status.message, MAX_MESSAGE_CHARS);
    record.status.functions.truncate(MAX_PARTS);
    for FunctionStatus { url, reason, message, .. } in &mut record.status.functions {
        cut_all(url, MAX_URL_BYTES);
        cut_all(reason, MAX_WORD_BYTES);
        cut_all(message, MAX_MESSAGE_CHARS);
    }
    record.resource_refs.truncate(MAX_PARTS);
    for word in &mut record.resource_refs {
        cut(word, MAX_WORD_BYTES);
    }
    if let Some(instances) = &mut record.runtime {
        instances.truncate(MAX_PARTS);
        for RuntimeState { instance_id, status, metrics } in instances {
            cut(instance_id, MAX_WORD_BYTES);
            cut(status, MAX_WORD_BYTES);
            *metrics = None;
        }
    }
}

/// Cuts what is too long in `health`; a capacity that is too large is left out.
pub(crate) fn bound_health(health: &mut ClusterHealth) {
    cut_all(&mut health.crm_version, MAX_WORD_BYTES);
    health.features.truncate(MAX_LABELS);
    for feature in &mut health.features {
        cut(feature, MAX_WORD_BYTES);
    }
    let labels = std::mem::take(&mut health.labels).into_iter().take(MAX_LABELS);
    health.labels = labels
        .map(|(mut name, mut value)| {
            cut(&mut name, MAX_WORD_BYTES);
            cut(&mut value, MAX_WORD_BYTES);
            (name, value)
        })
        .collect::<BTreeMap<_, _>>();
    health.capacity.take_if(|capacity| capacity.to_string().len() > MAX_CAPACITY_BYTES);
}

/// Cuts `text` to at most `max` bytes, between two characters.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.shrink_to_fit();
    }
}

fn cut_all(text: &mut Option<String>, max: usize) {
    if let Some(text) = text {
        cut(text, max);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TIME: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn giant_texts_and_lists_of_a_record_are_cut() {
        let giant = "é".repeat(1_000_000);
        let function = json!({"function_key": "f", "ready": true, "url": giant, "reason": giant,
            "message": giant});
        let instance = json!({"instance_id": giant, "status": giant, "metrics": {"cpu": 1.0}});
        let mut record: DeploymentRecord = serde_json::from_value(json!({
            "id": "a", "deployment_key": "a", "package_name": "a", "class_key": "a",
            "target_environment": "east", "cluster_name": "east", "owner": giant,
            "spec_hash": giant,
            "status": {"condition": "RUNNING", "phase": giant, "message": giant,
                "last_updated": TIME, "functions": [function, function]},
            "nfr_compliance": giant, "resource_refs": vec!["r"; 5000], "runtime": [instance],
            "created_at": TIME, "updated_at": TIME,
        }))
        .unwrap();
        bound(&mut record);
        assert_eq!(record.resource_refs.len(), MAX_PARTS);
        record.resource_refs.clear();
        let left = serde_json::to_string(&record).unwrap();
        assert!(left.len() < 12_000, "{} bytes are left", left.len());
    }

    #[test]
    fn giant_health_is_cut() {
        let giant = "x".repeat(100_000);
        let many: Vec<_> = (0..1000).map(|n| format!("{giant}{n}")).take(70).collect();
        let labels: serde_json::Map<_, _> =
            (0..200).map(|n| (format!("{n}{giant}"), Value::from(giant.clone()))).collect();
        let mut health: ClusterHealth = serde_json::from_value(json!({
            "cluster_name": "east", "status": "HEALTHY", "crm_version": giant,
            "capacity": {"cpu": giant}, "labels": labels, "features": many,
        }))
        .unwrap();
        bound_health(&mut health);
        assert_eq!(health.capacity, None);
        let left = serde_json::to_string(&health).unwrap();
        assert!(left.len() < 64 * 800, "{} bytes are left", left.len());
    }
}
