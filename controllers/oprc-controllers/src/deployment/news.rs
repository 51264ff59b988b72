//! What of a plan people may want to know. Nothing is decided here.

use std::collections::BTreeMap;

use oprc_models::{
    event::Severity,
    names::ClusterName,
    record::RunCondition,
    status::DeploymentStatus,
    unit::{Desired, StoredUnit},
};
use oprc_planning::deployment::Plan;

/// One thing to tell of a deployment.
pub(super) struct News {
    pub(super) severity: Severity,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl News {
    fn normal(reason: &'static str, message: String) -> Self {
        Self { severity: Severity::Normal, reason, message }
    }
}

/// What of `plan` is worth telling, where there were these units and this status.
pub(super) fn of(
    plan: &Plan,
    units: &BTreeMap<ClusterName, StoredUnit>,
    status: Option<&DeploymentStatus>,
) -> Vec<News> {
    let mut news = Vec::new();
    let names = |desired: Desired| {
        let units = plan.units.iter().filter(|(_, unit)| unit.desired == desired);
        units.map(|(cluster, _)| cluster.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (wanted, unwanted) = (names(Desired::Present), names(Desired::Absent));
    if !wanted.is_empty() {
        let is_new = plan.units.keys().any(|cluster| !units.contains_key(cluster));
        let reason = if is_new { "Placed" } else { "Planned" };
        news.push(News::normal(reason, format!("planned on {wanted}")));
    }
    if !unwanted.is_empty() {
        let instead = if wanted.is_empty() {
            String::new()
        } else {
            format!("; planned on {wanted} instead")
        };
        news.push(News::normal("Withdrawn", format!("to be removed from {unwanted}{instead}")));
    }
    let new = plan.status.as_ref();
    let before = status.map(|before| before.condition);
    news.extend(new.filter(|new| before != Some(new.condition)).map(became));
    if plan.is_finished {
        news.push(News::normal("Removed", "nothing of it is left".to_owned()));
    }
    news
}

/// What it became, and why.
fn became(new: &DeploymentStatus) -> News {
    let ready = new.conditions.iter().find(|condition| condition.r#type == "Ready");
    let why = ready.map(|ready| {
        let colon = if ready.message.is_empty() { "" } else { ": " };
        format!("{}{colon}{}", ready.reason, ready.message)
    });
    let (severity, reason) = match new.condition {
        RunCondition::Pending => (Severity::Normal, "Pending"),
        RunCondition::Deploying => (Severity::Normal, "Deploying"),
        RunCondition::Running => (Severity::Normal, "Running"),
        RunCondition::Deleted => (Severity::Normal, "Deleted"),
        RunCondition::Down => (Severity::Warning, "Down"),
        RunCondition::Unknown => (Severity::Warning, "Unknown"),
    };
    News { severity, reason, message: why.unwrap_or_default() }
}
