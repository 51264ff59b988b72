//! A replica's client of a simulated CRM, and what may happen to a call on its way.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use oprc_crm_client::{CallError, Caller, Crm, Deleted, Page, Watch};
use oprc_models::{
    cluster::{ClusterHealth, HealthStatus, KnownCaller, features},
    crm::{DeploymentResponse, codes},
    names::{ClusterName, UnitId},
    unit::DeploymentUnit,
};

use super::{
    crm::CrmServer,
    world::{Answer, Link, World, note},
};

/// How long a call may take, as in production.
const PATIENCE: Duration = Duration::from_secs(10);

/// After how many milliseconds a call that is late is carried out: its caller has given up.
const LATE: RangeInclusive<u64> = 12_000..=300_000;

/// What a panic says that is a fault of ours, and not one of theirs.
pub(crate) const POISON: &str = "a poisoned answer";

/// A replica's client of one CRM.
pub(crate) struct CrmClient {
    pub(crate) link: Link,
    pub(crate) cluster: ClusterName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Health,
    Apply,
    Delete,
    Listing,
}

impl Kind {
    /// Whether it changes a unit.
    fn is_change(self) -> bool {
        matches!(self, Self::Apply | Self::Delete)
    }
}

impl CrmClient {
    async fn call<T: Send + 'static>(
        &self,
        kind: Kind,
        act: impl FnOnce(&mut World, &ClusterName) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let (replica, cluster) = (self.link.replica, self.cluster.clone());
        let of = cluster.clone();
        let latency = move |world: &mut World| {
            let share = world.crms.get(&of).map_or(0.0, |crm| crm.lateness_of(kind));
            if world.dice.chance(share) {
                return world.dice.within(LATE);
            }
            world.crm_latency(&of)
        };
        let sent = self.link.now();
        let at_server = move |world: &mut World, answer: Answer<Result<T, CallError>>| {
            if world.is_crm_cut(&cluster, replica) {
                world.strike("CRM out of reach");
                let hangs = world.crms.get(&cluster).is_some_and(|crm| crm.mood.hangs);
                if !hangs {
                    let error = CallError::Unreachable { source: "connection refused".into() };
                    answer.send(world, 1, Err(error));
                }
                return;
            }
            let done = world.turned_away(&cluster, kind).map_or_else(
                || {
                    let done = act(world, &cluster);
                    if kind.is_change() && done.is_ok() {
                        world.had_effect(replica);
                        if world.now >= sent + *LATE.start() {
                            world.strike("CRM call carried out late");
                        }
                    }
                    done
                },
                Err,
            );
            if kind.is_change()
                && let Err(error) = &done
            {
                note!(world, "{cluster} tells r{replica}: {error}");
            }
            let Some(done) = world.on_the_way_back(&cluster, kind, done) else { return };
            let delay = world.crm_latency(&cluster);
            answer.send(world, delay, done);
        };
        let answer = self.link.ask(PATIENCE, latency, at_server).await;
        let is_poisoned = {
            let mut world = self.link.world.lock();
            let poison = world.crms.get(&self.cluster).map_or(0.0, |crm| crm.mood.poison);
            let is_poisoned = world.dice.chance(poison);
            if is_poisoned {
                world.strike("reconcile panics");
            }
            is_poisoned
        };
        assert!(!is_poisoned, "{POISON}");
        answer.unwrap_or_else(|| unanswered("no answer"))
    }
}

fn unanswered<T>(why: &'static str) -> Result<T, CallError> {
    Err(CallError::Unanswered { source: why.into() })
}

impl CrmServer {
    /// Share of calls of this kind that are carried out late. A CRM that knows no generations takes
    /// an older unit for a newer one, and nothing that it reports tells that it has: no planner can
    /// do anything about that, so it is not asked for.
    fn lateness_of(&self, kind: Kind) -> f64 {
        let is_told = kind == Kind::Delete || self.has(features::GENERATIONS);
        if kind.is_change() && is_told { self.mood.late_calls } else { 0.0 }
    }
}

impl World {
    fn crm_latency(&mut self, cluster: &ClusterName) -> u64 {
        let slow = self.crms.get(cluster).map_or(0, |crm| crm.mood.slow);
        let further = if slow > 0 { self.dice.within(0..=slow) } else { 0 };
        if further > 2_000 {
            self.strike("CRM slow");
        }
        self.dice.within(1..=6) + further
    }

    /// Why the CRM does nothing about a call, if it does not.
    fn turned_away(&mut self, cluster: &ClusterName, kind: Kind) -> Option<CallError> {
        let crm = self.crms.get_mut(cluster)?;
        let mood = crm.mood.clone();
        if kind.is_change() {
            crm.n_calls += 1;
        }
        if mood.is_unauthorized {
            self.strike("CRM refuses the credentials");
            return Some(CallError::Unauthorized { message: "expired".to_owned() });
        }
        if self.dice.chance(mood.busy) {
            self.strike("CRM busy");
            let status = self.dice.pick(&[429, 503]);
            let seconds = self.dice.within(0..=4);
            let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
            return Some(CallError::Busy { retry_after, status });
        }
        if kind.is_change() && self.dice.chance(mood.refused) {
            self.strike("CRM refuses");
            let code = Some(codes::INVALID_UNIT.to_owned());
            let message = "no such template".to_owned();
            return Some(CallError::Refused { status: 400, code, message });
        }
        if kind == Kind::Listing && mood.lists_nothing {
            self.strike("listing turned away");
            return Some(CallError::Busy { retry_after: None, status: 429 });
        }
        if kind == Kind::Listing && self.dice.chance(mood.breaks_listings) {
            self.strike("listing broke off");
            return Some(CallError::Unanswered { source: "status 500".into() });
        }
        None
    }

    /// What becomes of an answer; `None`: it does not arrive.
    fn on_the_way_back<T>(
        &mut self,
        cluster: &ClusterName,
        kind: Kind,
        done: Result<T, CallError>,
    ) -> Option<Result<T, CallError>> {
        let mood = self.crms.get(cluster)?.mood.clone();
        if self.dice.chance(mood.lost_answers) {
            if kind.is_change() && done.is_ok() {
                self.strike("CRM acted, answer lost");
            }
            return if self.dice.chance(0.6) { Some(unanswered("reset")) } else { None };
        }
        if self.dice.chance(mood.garbage) {
            self.strike("CRM answers garbage");
            return Some(unanswered("expected value at line 1"));
        }
        Some(done)
    }
}

#[async_trait]
impl Crm for CrmClient {
    async fn health(&self, caller: &Caller) -> Result<ClusterHealth, CallError> {
        let owner = caller.owner.to_string();
        let health = move |world: &mut World, cluster: &ClusterName| {
            let Some(crm) = world.crms.get(cluster) else { return unanswered("none") };
            let mut cluster_name = crm.name.clone();
            let features = crm.features.clone();
            let term = crm.held.terms.get(&owner).copied();
            if crm.mood.is_another {
                world.strike("CRM is another cluster's");
                cluster_name = "elsewhere".parse().unwrap_or(cluster_name);
            }
            Ok(ClusterHealth {
                cluster_name,
                status: HealthStatus::Healthy,
                crm_version: None,
                last_seen: Some(world.wall()),
                node_count: None,
                ready_nodes: None,
                availability: None,
                capacity: None,
                labels: BTreeMap::new(),
                features,
                caller: Some(KnownCaller { term, idle_secs: None }),
            })
        };
        self.call(Kind::Health, health).await
    }

    async fn apply(
        &self,
        caller: &Caller,
        unit: &DeploymentUnit,
    ) -> Result<DeploymentResponse, CallError> {
        self.link.world.lock().check_sent(&self.cluster, &unit.id, self.link.now());
        let (caller, unit) = (caller.clone(), unit.clone());
        let apply = move |world: &mut World, cluster: &ClusterName| {
            world.crm_apply(cluster, &caller.owner, caller.term.unwrap_or_default(), &unit)
        };
        self.call(Kind::Apply, apply).await
    }

    async fn delete(
        &self,
        caller: &Caller,
        id: &UnitId,
        generation: u64,
    ) -> Result<Deleted, CallError> {
        self.link.world.lock().check_sent(&self.cluster, id, self.link.now());
        let (caller, id) = (caller.clone(), id.clone());
        let delete = move |world: &mut World, cluster: &ClusterName| {
            let term = caller.term.unwrap_or_default();
            world.crm_delete(cluster, &caller.owner, term, &id, generation)
        };
        self.call(Kind::Delete, delete).await
    }

    async fn list(&self, _: &Caller, after: Option<&str>, limit: u32) -> Result<Page, CallError> {
        let after = after.map(str::to_owned);
        let list = move |world: &mut World, cluster: &ClusterName| {
            // Small pages, so that a listing takes several.
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(3);
            Ok(world.crm_list(cluster, after.as_deref(), limit).into())
        };
        self.call(Kind::Listing, list).await
    }

    async fn watch(&self, _: &Caller, from: u64) -> Result<Watch, CallError> {
        let (replica, life) = (self.link.replica, self.link.life);
        let watch = move |world: &mut World, cluster: &ClusterName| {
            world.crm_watch(cluster, replica, life, from)
        };
        let receiver = self.call(Kind::Listing, watch).await?;
        let events = stream::unfold(Some(receiver), |receiver| async {
            let mut receiver = receiver?;
            let event = receiver.recv().await?;
            let rest = event.is_ok().then_some(receiver);
            Some((event, rest))
        });
        Ok(events.boxed())
    }
}
