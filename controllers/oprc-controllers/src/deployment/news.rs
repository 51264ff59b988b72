//! What of a plan people may want to know. Nothing is decided here.

use std::collections::BTreeMap;

use oprc_models::{
    condition::{Truth, find},
    event::Severity,
    names::ClusterName,
    record::RunCondition,
    status::DeploymentStatus,
    unit::{Desired, StoredUnit},
};
use oprc_planning::{
    deployment::{Input, Plan},
    place,
};

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

/// What of `plan`, which was made of `before`, is worth telling.
pub(super) fn of(
    plan: &Plan,
    before: &Input<'_>,
    is_registered: impl Fn(&ClusterName) -> bool,
) -> Vec<News> {
    let mut news = Vec::new();
    let planned = |desired| plan.units.iter().filter(move |(_, unit)| unit.desired == desired);
    let names = |units: Vec<&ClusterName>| {
        units.into_iter().map(ClusterName::as_str).collect::<Vec<_>>().join(", ")
    };
    let wanted = names(planned(Desired::Present).map(|(cluster, _)| cluster).collect());
    if !wanted.is_empty() {
        let is_new = plan.units.keys().any(|cluster| !before.units.contains_key(cluster));
        let reason = if is_new { "Placed" } else { "Planned" };
        news.push(News::normal(reason, format!("planned on {wanted}")));
    }
    let unwanted: Vec<String> = planned(Desired::Absent)
        .map(|(cluster, unit)| {
            format!("{cluster}: {}", why_not(before, &is_registered, cluster, unit))
        })
        .collect();
    if !unwanted.is_empty() {
        let (unwanted, elsewhere) = (unwanted.join("; "), elsewhere(plan, before.units));
        news.push(if elsewhere.is_empty() {
            News::normal("Withdrawn", format!("to be removed from {unwanted}"))
        } else {
            News::normal("Moved", format!("moved to {} from {unwanted}", names(elsewhere)))
        });
    }
    let new = plan.status.as_ref();
    news.extend(new.and_then(|new| pause(before, new)));
    let told = before.status.map(|before| before.condition);
    news.extend(new.filter(|new| told != Some(new.condition)).and_then(became));
    if plan.is_finished {
        news.push(News::normal("Removed", "nothing of it is left".to_owned()));
    }
    news
}

/// Returns the event of a pause that began or ended.
fn pause(before: &Input<'_>, new: &DeploymentStatus) -> Option<News> {
    let is_paused = |status: &DeploymentStatus| find(&status.conditions, "Paused").is_some();
    let was_paused = before.status.filter(|it| it.uid == new.uid).is_some_and(is_paused);
    let meta = &before.spec?.meta;
    match (was_paused, is_paused(new)) {
        (false, true) => {
            let message = "nothing is sent to any cluster until it is resumed".to_owned();
            Some(News::normal("Paused", message))
        }
        (true, false) if !meta.is_deleting() => {
            Some(News::normal("Resumed", "what has changed is sent".to_owned()))
        }
        _ => None,
    }
}

/// The clusters that get a unit where none was wanted before.
fn elsewhere<'p>(
    plan: &'p Plan,
    units: &BTreeMap<ClusterName, StoredUnit>,
) -> Vec<&'p ClusterName> {
    let was_wanted = |cluster: &ClusterName| {
        units.get(cluster).is_some_and(|unit| unit.desired == Desired::Present)
    };
    let wanted = plan.units.iter().filter(|(_, unit)| unit.desired == Desired::Present);
    wanted.map(|(cluster, _)| cluster).filter(|cluster| !was_wanted(cluster)).collect()
}

/// Why the unit on `cluster` is to go.
fn why_not(
    before: &Input<'_>,
    is_registered: impl Fn(&ClusterName) -> bool,
    cluster: &ClusterName,
    unit: &StoredUnit,
) -> &'static str {
    let Some(spec) = before.spec.filter(|spec| !spec.meta.is_deleting()) else {
        return "the deployment is to be deleted";
    };
    if let Some(why) = place::against(&spec.spec, cluster, is_registered) {
        return why;
    }
    let was_absent = before.units.get(cluster).is_some_and(|it| it.desired == Desired::Absent);
    if was_absent {
        "its CRM has had a newer generation"
    } else if unit.deployment_uid != spec.meta.uid {
        "the deployment was created anew"
    } else if unit.unit.class_key != spec.spec.class_key {
        "it is of another class now"
    } else {
        "another cluster holds it"
    }
}

/// Returns the run state that it came to, and why.
///
/// Nothing for one that runs and is not ready: the cluster refused an update, and its agent records
/// the event of that.
fn became(new: &DeploymentStatus) -> Option<News> {
    let ready = new.conditions.iter().find(|condition| condition.r#type == "Ready");
    if new.condition == RunCondition::Running && ready.is_some_and(|it| it.status != Truth::True) {
        return None;
    }
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
    Some(News { severity, reason, message: why.unwrap_or_default() })
}
