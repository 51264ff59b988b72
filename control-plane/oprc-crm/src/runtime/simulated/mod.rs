//! A runtime that starts nothing: units take the time that it is told and then say that they run.
//!
//! A unit goes PENDING → DEPLOYING → RUNNING, or DOWN where it was told to fail. After a restart
//! what was under way takes its step at once; what runs goes on running.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use oprc_models::{
    cluster::features,
    names::Key,
    problem::Violation,
    record::{DeploymentRecord, FunctionStatus, RunCondition, RuntimeState},
    unit::{DeploymentUnit, UnitFunction},
};

use super::{About, Progress, Runtime, Step};

#[cfg(test)]
mod tests;

/// The key of a function's `config` that makes its unit fail, see [`Failure`].
pub const FAIL_KEY: &str = "OPRC_SIMULATED_FAIL";

/// The most instances told of one unit.
const MAX_INSTANCES: usize = 100;

/// How a unit is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// `start`: it ends up DOWN.
    Start,
    /// `hang`: it stays DEPLOYING.
    Hang,
    /// `delete`: its removal never ends.
    Delete,
    /// `refuse`: it is refused.
    Refuse,
}

/// How the simulation behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// From being taken to RUNNING.
    pub start: Duration,
    /// From the wish to delete to being gone.
    pub stop: Duration,
    /// Classes whose units end up DOWN.
    pub fail_classes: BTreeSet<Key>,
    /// Nodes that the cluster says it has.
    pub n_nodes: u32,
    /// Share of time that the cluster says it is up, 0 to 1.
    pub availability: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: Duration::from_millis(200),
            stop: Duration::from_millis(100),
            fail_classes: BTreeSet::new(),
            n_nodes: 1,
            availability: 0.99,
        }
    }
}

/// The runtime that starts nothing.
#[derive(Debug, Default)]
pub struct Simulated {
    options: Options,
}

impl Simulated {
    /// A simulation that behaves as `options` say.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    fn failure(&self, unit: &DeploymentUnit) -> Option<Failure> {
        let asked = unit.functions.iter().filter_map(|function| function.config.get(FAIL_KEY));
        asked.filter_map(|word| failure(word)).next().or_else(|| {
            self.options.fail_classes.contains(&unit.class_key).then_some(Failure::Start)
        })
    }
}

fn failure(word: &str) -> Option<Failure> {
    match word {
        "start" => Some(Failure::Start),
        "hang" => Some(Failure::Hang),
        "delete" => Some(Failure::Delete),
        "refuse" => Some(Failure::Refuse),
        _ => None,
    }
}

/// The phase of a unit that is being stopped.
const STOPPING: &str = "Stopping";

#[async_trait]
impl Runtime for Simulated {
    fn about(&self) -> About {
        About {
            features: [features::SIMULATED, features::SECRETS].map(str::to_owned).into(),
            labels: [("runtime".to_owned(), "simulated".to_owned())].into(),
            n_nodes: self.options.n_nodes,
            n_ready_nodes: self.options.n_nodes,
            availability: self.options.availability,
        }
    }

    fn violations(&self, unit: &DeploymentUnit) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (index, function) in unit.functions.iter().enumerate() {
            let Some(word) = function.config.get(FAIL_KEY) else { continue };
            let message = match failure(word) {
                Some(Failure::Refuse) => "refused, as it asked for".to_owned(),
                Some(Failure::Start | Failure::Hang | Failure::Delete) => continue,
                None => format!("{word:?} is no failure: want start, hang, delete or refuse"),
            };
            let pointer = format!("/functions/{index}/config/{FAIL_KEY}");
            violations.push(Violation { pointer, message });
        }
        violations
    }

    async fn advance(&self, unit: &DeploymentUnit, record: &DeploymentRecord) -> Step {
        let failure = self.failure(unit);
        let became = |progress, next| Step::Became { progress: Box::new(progress), next };
        match record.status.condition {
            RunCondition::Pending => became(
                progress(unit, RunCondition::Deploying, "Starting"),
                Some(self.options.start),
            ),
            RunCondition::Deploying if failure == Some(Failure::Hang) => Step::Rest,
            RunCondition::Deploying if failure == Some(Failure::Start) => {
                became(failed(unit), None)
            }
            RunCondition::Deploying => {
                became(progress(unit, RunCondition::Running, "Simulated"), None)
            }
            RunCondition::Deleted if record.status.phase != STOPPING => {
                became(progress(unit, RunCondition::Deleted, STOPPING), Some(self.options.stop))
            }
            RunCondition::Deleted if failure == Some(Failure::Delete) => Step::Rest,
            RunCondition::Deleted => Step::Gone,
            RunCondition::Running | RunCondition::Down | RunCondition::Unknown => Step::Rest,
        }
    }

    fn instances(&self, unit: &DeploymentUnit, record: &DeploymentRecord) -> Vec<RuntimeState> {
        if record.status.condition != RunCondition::Running {
            return Vec::new();
        }
        let replicas = unit.functions.iter().flat_map(|function| {
            (0..function.replicas.target).map(move |replica| (function, replica))
        });
        let instance = |(function, replica): (&UnitFunction, u32)| RuntimeState {
            instance_id: format!("{}/{}/{replica}", unit.id, function.key),
            status: "SIMULATED".to_owned(),
            metrics: None,
        };
        replicas.take(MAX_INSTANCES).map(instance).collect()
    }
}

/// How all of a unit is in the same condition.
fn progress(unit: &DeploymentUnit, condition: RunCondition, phase: &str) -> Progress {
    let is_ready = condition == RunCondition::Running;
    let functions = unit.functions.iter().map(|function| FunctionStatus {
        function_key: function.key.clone(),
        ready: is_ready,
        replicas_ready: if is_ready { function.replicas.target } else { 0 },
        url: None,
        reason: None,
        message: None,
    });
    Progress {
        condition,
        phase: phase.to_owned(),
        message: None,
        functions: functions.collect(),
        resource_refs: resource_refs(unit),
    }
}

/// The unit itself, and the secrets that a runtime would read for it: their names alone.
fn resource_refs(unit: &DeploymentUnit) -> Vec<String> {
    let secrets = unit.functions.iter().flat_map(|function| function.secrets.values());
    let secrets: BTreeSet<String> = secrets.map(|at| format!("secret/{}", at.name)).collect();
    let mut refs = vec![format!("simulated/{}", unit.id)];
    refs.extend(secrets);
    refs
}

/// How a unit is that was told to fail.
fn failed(unit: &DeploymentUnit) -> Progress {
    let mut progress = progress(unit, RunCondition::Down, "Failed");
    progress.message = Some("the simulation was told to fail".to_owned());
    for function in &mut progress.functions {
        function.reason = Some("SimulatedFailure".to_owned());
        function.message = progress.message.clone();
    }
    progress
}
