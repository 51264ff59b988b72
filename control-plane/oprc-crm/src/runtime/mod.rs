//! The seam to whatever runs the units of a cluster.
//!
//! A runtime brings units about one step at a time. The [driver](crate::driver) asks for each step,
//! stores what the runtime says and asks again when it is time, so a runtime keeps no queue, no
//! timer and no record of its own: it is told the whole unit and the last status each time, and
//! must come to the same end when it is asked twice or after a restart.

pub mod simulated;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use oprc_models::{
    problem::Violation,
    record::{DeploymentRecord, FunctionStatus, RunCondition, RuntimeState},
    unit::DeploymentUnit,
};

/// What a runtime says of its cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Words for the health's `features`, beyond those of the server.
    pub features: Vec<String>,
    /// Labels of the cluster.
    pub labels: BTreeMap<String, String>,
    /// Nodes of the cluster.
    pub n_nodes: u32,
    /// Nodes that are ready.
    pub n_ready_nodes: u32,
    /// Share of time that the cluster is up, 0 to 1.
    pub availability: f64,
}

/// How a unit has become.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// In one word.
    pub condition: RunCondition,
    /// In the runtime's word.
    pub phase: String,
    /// More, for people.
    pub message: Option<String>,
    /// Each function.
    pub functions: Vec<FunctionStatus>,
    /// What was made for the unit.
    pub resource_refs: Vec<String>,
}

/// The outcome of one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is nothing to do until the unit changes.
    Rest,
    /// The unit is now like this.
    Became {
        /// How it is.
        progress: Box<Progress>,
        /// When to ask for the next step; `None`: when the unit changes.
        next: Option<Duration>,
    },
    /// Nothing is left of a unit that was to be removed.
    Gone,
}

/// Runs units. Implementations are idempotent and level-driven.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// What it says of its cluster.
    fn about(&self) -> About;

    /// What stands against running `unit` at all; empty: nothing.
    fn violations(&self, unit: &DeploymentUnit) -> Vec<Violation>;

    /// Does the next piece of work for `unit` and says how it is then. `record` is what was last
    /// stored of it; its condition is DELETED when the unit is to be removed.
    ///
    /// A failure is a status, not an error: it is told to whoever asked for the unit.
    async fn advance(&self, unit: &DeploymentUnit, record: &DeploymentRecord) -> Step;

    /// The running instances of `unit`, at most a hundred.
    fn instances(&self, unit: &DeploymentUnit, record: &DeploymentRecord) -> Vec<RuntimeState>;
}
