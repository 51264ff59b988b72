//! Records as the CRM itself writes them; the rest of a record's life is the runtime's.

use oprc_models::{
    crm::UnitStatus,
    meta::Timestamp,
    names::ClusterName,
    record::{DeploymentRecord, FunctionStatus, RecordStatus, RunCondition},
    unit::DeploymentUnit,
};

/// The phase of a unit that was taken and that the runtime has not looked at.
pub(crate) const ACCEPTED: &str = "Accepted";
/// The phase of a unit whose deletion was asked for and that the runtime has not looked at.
pub(crate) const DELETION_REQUESTED: &str = "DeletionRequested";

/// Whether the record was written by a request, so that the runtime must look at it now.
pub(crate) fn is_news(condition: RunCondition, phase: &str) -> bool {
    match condition {
        RunCondition::Pending => phase == ACCEPTED,
        RunCondition::Deleted => phase == DELETION_REQUESTED,
        RunCondition::Deploying
        | RunCondition::Running
        | RunCondition::Down
        | RunCondition::Unknown => false,
    }
}

/// Whether the runtime has nothing left to do for a record like this.
pub(crate) fn is_settled(condition: RunCondition) -> bool {
    matches!(condition, RunCondition::Running | RunCondition::Down)
}

/// The record of a unit that was just taken. `created_at` is when the id was first taken.
pub(crate) fn accepted(
    unit: &DeploymentUnit,
    cluster: &ClusterName,
    created_at: Timestamp,
    now: Timestamp,
) -> DeploymentRecord {
    let functions = unit.functions.iter().map(|function| FunctionStatus {
        function_key: function.key.clone(),
        ready: false,
        replicas_ready: 0,
        url: None,
        reason: None,
        message: None,
    });
    DeploymentRecord {
        id: unit.id.clone(),
        deployment_key: unit.deployment_key.clone(),
        package_name: unit.package_name.clone(),
        class_key: unit.class_key.clone(),
        target_environment: unit.target_env.clone(),
        cluster_name: cluster.clone(),
        owner: unit.owner.clone(),
        generation: unit.generation,
        spec_hash: unit.spec_hash.clone(),
        status: RecordStatus {
            condition: RunCondition::Pending,
            phase: ACCEPTED.to_owned(),
            message: None,
            last_updated: now,
            functions: functions.collect(),
        },
        nfr_compliance: None,
        resource_refs: Vec::new(),
        runtime: None,
        created_at,
        updated_at: now,
    }
}

/// `record`, of which only the generation moves on to that of `unit`.
pub(crate) fn advanced(
    record: &DeploymentRecord,
    unit: &DeploymentUnit,
    now: Timestamp,
) -> DeploymentRecord {
    DeploymentRecord {
        generation: unit.generation,
        owner: unit.owner.clone(),
        updated_at: now,
        ..record.clone()
    }
}

/// `record`, whose deletion was just asked for.
pub(crate) fn deleting(record: &DeploymentRecord, now: Timestamp) -> DeploymentRecord {
    let mut record = record.clone();
    record.status.condition = RunCondition::Deleted;
    record.status.phase = DELETION_REQUESTED.to_owned();
    record.status.message = None;
    record.status.last_updated = now;
    record.updated_at = now;
    record
}

/// What the record says of its unit, in short.
pub(crate) fn unit_status(record: DeploymentRecord) -> UnitStatus {
    UnitStatus {
        id: record.id,
        generation: record.generation,
        observed_generation: record.generation,
        status: record.status.condition,
        phase: record.status.phase,
        message: record.status.message,
        last_updated: record.status.last_updated,
    }
}
