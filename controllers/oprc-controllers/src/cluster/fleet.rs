//! The fleet: one agent for each registered cluster, started and stopped as clusters come and go.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use oprc_controller_runtime::{
    cache::Changed,
    controller::{Config, Controller, Requeue},
    queue::{Outcome, Priority},
    shared::{Name, Queue},
};
use oprc_cp_storage::keys::Key;
use oprc_crm_client::Crm;
use oprc_models::{cluster::ClusterSpec, event::About, meta::Stored, names::ClusterName};
use parking_lot::Mutex;
use tokio::{
    task::{self, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    agent::{Agent, Queues, Settings},
    observe,
    reach::{self, Alarm, Reach},
    records, status, triggers, units,
};
use crate::{
    GRACE,
    context::{Context, remove},
    error::Error,
    failing,
    queues::QueueFactory,
};

/// Makes the client of a cluster's CRM from its registration. An error is the reason why the cluster
/// is not configured: its status shows it and it is not called.
pub type Connect = Arc<dyn Fn(&ClusterSpec) -> Result<Arc<dyn Crm>, String> + Send + Sync>;

/// Record and status writes of one agent at once: the store merges those that wait together.
const RECORDS_AT_ONCE: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Until an agent that panicked is replaced: what made it panic may well do so again.
const AFTER_PANIC: Duration = Duration::from_secs(1);

const AGENT_PANICS: &str = "oprc_pm_agent_panics_total";

/// Describes this module's metrics to the recorder.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(AGENT_PANICS, "Agents of clusters that panicked and were replaced.");
    reach::describe_metrics();
    observe::describe_metrics();
}

/// All agents.
pub(crate) struct Fleet {
    context: Context,
    settings: Settings,
    connect: Connect,
    queues: QueueFactory,
    agents: Mutex<BTreeMap<ClusterName, Running>>,
    /// Registered clusters that have no client; each with the reason.
    not_configured: Mutex<BTreeMap<ClusterName, String>>,
    registrations: Queue<ClusterName>,
    statuses: Queue<ClusterName>,
    reach: Arc<Mutex<Reach>>,
}

struct Running {
    agent: Arc<Agent>,
    registered: Arc<Stored<ClusterSpec>>,
    stop: CancellationToken,
}

impl Fleet {
    pub(crate) fn new(
        context: Context,
        settings: Settings,
        connect: Connect,
        queues: QueueFactory,
    ) -> Arc<Self> {
        Arc::new(Self {
            registrations: queues.queue(Name::new("registration")),
            statuses: queues.queue(Name::new("cluster")),
            context,
            settings,
            connect,
            queues,
            agents: Mutex::default(),
            not_configured: Mutex::default(),
            reach: Arc::default(),
        })
    }

    /// Has a change looked at by whom it concerns.
    pub(crate) fn trigger(&self, changed: &Changed) {
        match changed {
            Changed::Cluster(name) => self.registrations.add(name.clone(), Priority::Change),
            // Our own words, unless another hand wrote them or an older snapshot of the store
            // brought them back: then they are put right.
            Changed::ClusterStatus(name) => self.statuses.add(name.clone(), Priority::Change),
            Changed::Record(cluster, id, _) => {
                if let Some(running) = self.agents.lock().get(cluster) {
                    running.agent.records.add(id.clone(), Priority::Change);
                }
            }
            Changed::Relisted => {
                for running in self.agents.lock().values() {
                    running.agent.want_listing();
                }
            }
            Changed::WentBack(from, to) => {
                let how = format!("the store went back from revision {from} to {to}");
                for running in self.agents.lock().values() {
                    running.agent.store_went_back(&how);
                }
            }
            Changed::Package(..)
            | Changed::Deployment(..)
            | Changed::Unit(..)
            | Changed::PackageStatus(_)
            | Changed::DeploymentStatus(_)
            | Changed::PackageRevision(_)
            | Changed::PackageVersion(_)
            | Changed::DeploymentRevision(_)
            | Changed::Bundle(_)
            | Changed::Push(_)
            | Changed::RoleBinding(_)
            | Changed::Events(_)
            | Changed::Installation
            | Changed::Leader(_) => (),
        }
        if let Some((cluster, work)) = triggers::work(changed)
            && let Some(running) = self.agents.lock().get(cluster)
        {
            running.agent.units.add(work, Priority::Change);
        }
    }

    /// Has every cluster looked at.
    pub(crate) fn resync(&self) {
        let state = self.context.cache.read();
        for name in state.clusters.keys().chain(state.cluster_statuses.keys()) {
            self.registrations.add(name.clone(), Priority::Resync);
        }
    }

    /// Runs the agents until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let fleet = Arc::clone(&self);
        let config = Config { concurrency: RECORDS_AT_ONCE, grace: GRACE, ..Config::default() };
        let statuses = Controller::new(self.statuses.clone(), config, move |cluster| {
            let fleet = Arc::clone(&fleet);
            async move { fleet.reconcile_status(&cluster).await }
        });
        let statuses =
            statuses
                .on_failure(failing::of_clusters(&self.context))
                .on_retry(failing::told(&self.context, |name: &ClusterName| {
                    Some(About::Cluster(name.clone()).into())
                }));
        let mut tasks = JoinSet::new();
        tasks.spawn(statuses.run(stop.clone()));
        let mut running = BTreeMap::new();
        loop {
            let job = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next_with_id() => {
                    self.restart_after_panic(&mut running, ended);
                    continue;
                }
                job = self.registrations.next() => job,
            };
            let Some(job) = job else { break };
            if let Some((agent, stop)) = self.register(&job.key, &stop) {
                let task = tasks.spawn(run_agent(agent, self.settings.clone(), stop));
                running.insert(task.id(), job.key.clone());
            }
            self.registrations.done(&job.key, Outcome::Settled);
        }
        self.registrations.close();
        while tasks.join_next().await.is_some() {}
    }

    /// An agent that panicked is replaced by a new one, which knows nothing and lists first. Its
    /// cluster must not be without one until the next term.
    fn restart_after_panic(
        &self,
        running: &mut BTreeMap<task::Id, ClusterName>,
        ended: Result<(task::Id, ()), JoinError>,
    ) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(cluster) = running.remove(&id) else { return };
        if let Err(error) = ended {
            tracing::error!(cluster = %cluster, error = %error, "agent panicked; starting another");
            metrics::counter!(AGENT_PANICS, "cluster" => cluster.to_string()).increment(1);
            self.agents.lock().remove(&cluster);
            self.registrations.add_after(cluster, Priority::Change, AFTER_PANIC);
        }
    }

    /// Starts, replaces or stops the agent of `name`; answers one that is to be run.
    fn register(
        &self,
        name: &ClusterName,
        stop: &CancellationToken,
    ) -> Option<(Arc<Agent>, CancellationToken)> {
        let registered = {
            let state = self.context.cache.read();
            if state.unreadable.contains_key(&Key::Cluster(name.clone())) {
                // It is registered, and how is not known: its agent goes on as it is.
                return None;
            }
            state.clusters.get(name).cloned()
        };
        let mut agents = self.agents.lock();
        let Some(registered) = registered else {
            if let Some(running) = agents.remove(name) {
                tracing::info!(cluster = %name, "cluster is no longer registered");
                running.stop.cancel();
            }
            self.not_configured.lock().remove(name);
            self.statuses.add(name.clone(), Priority::Change);
            return None;
        };
        if agents.get(name).is_some_and(|running| running.registered.spec == registered.value.spec)
        {
            return None;
        }
        let crm = match (self.connect)(&registered.value.spec) {
            Ok(crm) => crm,
            Err(reason) => {
                tracing::error!(cluster = %name, error = reason, "cluster is not configured");
                if let Some(running) = agents.remove(name) {
                    running.stop.cancel();
                }
                self.not_configured.lock().insert(name.clone(), reason);
                self.statuses.add(name.clone(), Priority::Change);
                return None;
            }
        };
        self.not_configured.lock().remove(name);
        let queues = Queues {
            units: self.queues.queue(Name::of_cluster("unit", name.as_str())),
            records: self.queues.queue(Name::of_cluster("record", name.as_str())),
            statuses: self.statuses.clone(),
            reach: Arc::clone(&self.reach),
        };
        let agent =
            Agent::new(self.context.clone(), name.clone(), crm, self.settings.clone(), queues);
        let agent = Arc::new(agent);
        let stop = stop.child_token();
        let running =
            Running { agent: Arc::clone(&agent), registered: registered.value, stop: stop.clone() };
        if let Some(before) = agents.insert(name.clone(), running) {
            before.stop.cancel();
        }
        tracing::info!(cluster = %name, "agent started");
        if let Some(at) = &self.context.recovered_at {
            agent.store_went_back(&format!("the store was restored, and recovered at {at}"));
        }
        Some((agent, stop))
    }

    async fn reconcile_status(&self, name: &ClusterName) -> Result<Requeue, Error> {
        let agent = self.agents.lock().get(name).map(|running| Arc::clone(&running.agent));
        if let Some(agent) = agent {
            return status::reconcile(&agent).await;
        }
        let reason = self.not_configured.lock().get(name).cloned();
        if let Some(reason) = reason {
            return status::not_configured(&self.context, name, &reason).await;
        }
        let write = {
            let state = self.context.cache.read();
            let n_clusters = state.clusters.len();
            if self.reach.lock().find(name, n_clusters, Instant::now()) == Alarm::Turned {
                state.clusters.keys().for_each(|name| {
                    self.statuses.add(name.clone(), Priority::Change);
                });
            }
            let is_left = !state.clusters.contains_key(name)
                && !state.unreadable.contains_key(&Key::Cluster(name.clone()));
            let entry = state.cluster_statuses.get(name).filter(|_| is_left);
            entry.map(|entry| remove(&Key::ClusterStatus(name.clone()), entry.revision))
        };
        if let Some(write) = write {
            self.context.commit(vec![write]).await?;
        }
        Ok(Requeue::AwaitChange)
    }
}

/// Runs one agent until `stop`.
async fn run_agent(agent: Arc<Agent>, settings: Settings, stop: CancellationToken) {
    let calls = NonZeroUsize::new(settings.max_in_flight).unwrap_or(NonZeroUsize::MIN);
    let config = Config { concurrency: calls, deadline: settings.deadline, grace: GRACE };
    let of_units = Arc::clone(&agent);
    let units = Controller::new(agent.units.clone(), config, move |work| {
        let agent = Arc::clone(&of_units);
        async move { units::reconcile(&agent, &work).await }
    });
    let of_failures = Arc::clone(&agent);
    let units = units.on_failure(Arc::new(move |work, failure| {
        units::note_failure(&of_failures, &work, &failure);
        Box::pin(std::future::ready(()))
    }));
    let of_retries = Arc::clone(&agent);
    let units =
        units.on_retry(failing::told(&agent.context, move |work| units::about(&of_retries, work)));
    let config = Config { concurrency: RECORDS_AT_ONCE, grace: GRACE, ..Config::default() };
    let of_records = Arc::clone(&agent);
    let records = Controller::new(agent.records.clone(), config, move |id| {
        let agent = Arc::clone(&of_records);
        async move { records::reconcile(&agent, &id).await }
    });
    agent.status_changed();
    let observing = async {
        tokio::select! {
            biased;
            () = stop.cancelled() => (),
            () = observe::keep_health(&agent) => (),
            () = observe::keep_mirror(&agent) => (),
        }
    };
    tokio::join!(units.run(stop.clone()), records.run(stop.clone()), observing);
}
