//! Brings one unit about: reads what is desired and observed, plans, calls the CRM.

use std::time::Duration;

use oprc_controller_runtime::controller::{self, ReconcileError, Requeue};
use oprc_cp_storage::keys::Key;
use oprc_crm_client::{CallError, Deleted};
use oprc_models::{
    cluster::features,
    crm::codes,
    names::{DeploymentKey, PackageName, UnitId},
    record::Refusal,
    unit::{DeploymentUnit, StoredUnit},
};
use oprc_observability::{Brief, Report};
use oprc_planning::unit::{Action, Observation, Reason, plan};
use tokio::time::Instant;
use tracing::Span;

use super::{
    agent::{Agent, Failure, Work},
    mirror::{Mirror, Verdict},
    observe::is_ours,
};
use crate::{
    context::{remove, require_readable},
    error::Error,
    events::Subject,
    failing::unfinished,
};

/// How long a CRM that took a unit has to show it in its records, before it is listed to find out.
const SETTLE: Duration = Duration::from_secs(5);

/// Between two requests for a deletion that its CRM took and has not finished.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Between two tries while a half-open breaker is busy with others.
const BUSY_BREAKER: Duration = Duration::from_millis(50);

/// What is to be done, with all that it takes: decided under the locks, carried out without.
enum Decision {
    Nothing,
    Check(Duration),
    /// Wait for the cluster to come back, however long.
    Park,
    /// Wait for a listing.
    Observe,
    Forget(UnitId, DeploymentKey, oprc_cp_storage::Revision),
    Apply(Box<StoredUnit>, Reason),
    Delete(Removal),
}

/// A deletion to ask for.
struct Removal {
    id: UnitId,
    deployment: DeploymentKey,
    generation: u64,
    /// Package of the unit.
    package: PackageName,
    /// The incarnation of the deployment; none: of an orphan.
    uid: Option<String>,
    correlation_id: Option<String>,
}

/// Reconciles one unit, or one record that has none.
///
/// # Errors
///
/// [`Error::Call`] when the CRM did not do it; [`Error::Store`] when its removal could not be
/// written down.
pub(crate) async fn reconcile(agent: &Agent, work: &Work) -> Result<Requeue, Error> {
    let decision = match work {
        Work::Unit(deployment) => decide_unit(agent, deployment)?,
        Work::Orphan(id) => decide_orphan(agent, id)?,
    };
    match decision {
        // Nothing is asked for in vain: it goes on when the CRM says that it takes our term.
        Decision::Apply(..) | Decision::Delete(_) if agent.is_refused() => {
            agent.park(work.clone());
            Ok(Requeue::AwaitChange)
        }
        Decision::Nothing => Ok(Requeue::AwaitChange),
        Decision::Check(after) => Ok(Requeue::After(after)),
        Decision::Park => {
            agent.park(work.clone());
            agent.want_listing();
            Ok(Requeue::AwaitChange)
        }
        Decision::Observe => {
            agent.want_listing();
            Err(Error::NotObserved { cluster: agent.cluster.clone() })
        }
        Decision::Forget(id, deployment, revision) => {
            let key = Key::Unit(agent.cluster.clone(), deployment);
            agent.context.commit(vec![remove(&key, revision)]).await?;
            agent.mirror.lock().forget(&id);
            Ok(Requeue::AwaitChange)
        }
        Decision::Apply(unit, reason) => apply(agent, work, &unit, reason).await,
        Decision::Delete(removal) => delete(agent, work, &removal).await,
    }
}

/// Has a reconcile of a unit that panicked or hung told where a refusal is: in its record, and so in
/// its deployment's status, until its CRM takes something.
pub(crate) fn note_failure(agent: &Agent, work: &Work, failure: &controller::Failure) {
    let (Work::Unit(deployment), Some((reason, message))) = (work, unfinished(failure)) else {
        return;
    };
    let (id, unit) = {
        let state = agent.context.cache.read();
        let Some(entry) = state.unit(&agent.cluster, deployment) else { return };
        (entry.value.id.clone(), entry.value.unpack().unit)
    };
    let generation = unit.generation;
    let is_known = agent.mirror.lock().report(&id).refusal.is_some_and(|(refusal, _)| {
        refusal.generation == generation && refusal.code.as_deref() == Some(reason)
    });
    if is_known {
        return;
    }
    let refusal = Refusal {
        generation,
        package_name: Some(unit.package_name),
        status: Refusal::BY_US,
        code: Some(reason.to_owned()),
        message,
        current_generation: None,
        at: (agent.context.now)(),
    };
    agent.note(&id, Verdict::Refused(refusal, deployment.clone()));
}

/// What a failure of `work` is about.
pub(crate) fn about(agent: &Agent, work: &Work) -> Option<Subject> {
    match work {
        Work::Unit(deployment) => {
            let state = agent.context.cache.read();
            let unit = state.unit(&agent.cluster, deployment);
            let package = unit.map(|entry| entry.value.unpack().unit.package_name);
            Some(Subject::deployment(deployment, package.as_ref()))
        }
        Work::Orphan(id) => match agent.mirror.lock().observe(id) {
            Observation::Present(record) => {
                Some(Subject::deployment(&record.deployment_key, Some(&record.package_name)))
            }
            Observation::Absent | Observation::Unknown => None,
        },
    }
}

fn decide_unit(agent: &Agent, deployment: &DeploymentKey) -> Result<Decision, Error> {
    let state = agent.context.cache.read();
    let key = Key::Unit(agent.cluster.clone(), deployment.clone());
    require_readable(&state, |unreadable| *unreadable == key)?;
    let Some(entry) = state.unit(&agent.cluster, deployment) else {
        return Ok(Decision::Nothing);
    };
    let unit = entry.value.unpack();
    if unit.paused {
        return Ok(Decision::Nothing);
    }
    let (id, generation) = (&entry.value.id, unit.unit.generation);
    let removal = |generation| Removal {
        id: id.clone(),
        deployment: deployment.clone(),
        generation,
        package: unit.unit.package_name.clone(),
        uid: Some(unit.deployment_uid.clone()),
        correlation_id: unit.correlation_id.clone(),
    };
    let mirror = agent.mirror.lock();
    let observed = mirror.observe(id);
    if let Observation::Present(record) = observed
        && !is_ours(agent, &state, record)
    {
        // Another installation's, by a copy of the store: its cluster's status names it.
        return Ok(Decision::Nothing);
    }
    Ok(match plan(&unit, observed) {
        Action::Nothing => Decision::Nothing,
        Action::Observe | Action::Apply(_) if mirror.applied_at(id, generation).is_some() => {
            await_record(agent, &mirror, id, generation)
        }
        Action::Observe if !mirror.is_listed() => Decision::Park,
        Action::Observe => Decision::Observe,
        Action::Apply(reason) => Decision::Apply(Box::new(unit), reason),
        Action::Delete(generation, _) => ask_to_delete(&mirror, removal(generation)),
        // Not there; but a creation may still be under way to it. A deletion that the CRM answered
        // fences it off.
        Action::Forget if !mirror.has_fenced(id, generation) => {
            Decision::Delete(removal(generation))
        }
        Action::Forget => Decision::Forget(id.clone(), deployment.clone(), entry.revision),
    })
}

/// The CRM took the unit: its record is awaited, and looked for once it is late.
fn await_record(agent: &Agent, mirror: &Mirror, id: &UnitId, generation: u64) -> Decision {
    let waited = mirror.applied_at(id, generation).map(|at| at.elapsed());
    let rest = SETTLE.saturating_sub(waited.unwrap_or_default());
    if rest.is_zero() {
        agent.want_listing();
        return Decision::Check(SETTLE);
    }
    Decision::Check(rest)
}

/// Asks for a deletion, unless the CRM took the same request a moment ago.
fn ask_to_delete(mirror: &Mirror, removal: Removal) -> Decision {
    let waited = mirror.deletion_begun_at(&removal.id, removal.generation).map(|at| at.elapsed());
    let rest = waited.map_or(Duration::ZERO, |waited| ASK_AGAIN.saturating_sub(waited));
    if rest.is_zero() { Decision::Delete(removal) } else { Decision::Check(rest) }
}

fn decide_orphan(agent: &Agent, id: &UnitId) -> Result<Decision, Error> {
    let state = agent.context.cache.read();
    let mirror = agent.mirror.lock();
    let Observation::Present(record) = mirror.observe(id) else { return Ok(Decision::Nothing) };
    // A unit that cannot be read may be the one that asks for it.
    require_readable(
        &state,
        |unreadable| matches!(unreadable, Key::Unit(cluster, _) if *cluster == agent.cluster),
    )?;
    let is_wanted = state.place_of_unit(id).is_some_and(|(cluster, _)| *cluster == agent.cluster);
    if is_wanted || !is_ours(agent, &state, record) {
        return Ok(Decision::Nothing);
    }
    let removal = Removal {
        id: id.clone(),
        deployment: record.deployment_key.clone(),
        generation: record.generation,
        package: record.package_name.clone(),
        uid: None,
        correlation_id: None,
    };
    Ok(ask_to_delete(&mirror, removal))
}

async fn apply(
    agent: &Agent,
    work: &Work,
    stored: &StoredUnit,
    reason: Reason,
) -> Result<Requeue, Error> {
    let unit = &stored.unit;
    let correlation_id = stored.correlation_id.as_deref();
    record_correlation(correlation_id);
    // A refused unit is tried again for as long as it is wanted: one line is enough.
    if !agent.mirror.lock().is_refused(&unit.id, unit.generation) {
        tracing::info!(
            cluster = %agent.cluster, deployment = %unit.deployment_key, unit = %unit.id,
            generation = unit.generation, reason = reason.as_str(), "applying unit"
        );
    }
    let subject = Subject::deployment(&unit.deployment_key, Some(&unit.package_name))
        .of_incarnation(Some(stored.deployment_uid.clone()))
        .following(stored.correlation_id.clone());
    let of = (&unit.deployment_key, &unit.package_name);
    let call = Call::begin(agent, &unit.id, of, unit.generation, subject.clone());
    if let Some(refusal) = unable(agent, unit) {
        return call.fail(work, Failure::Call(refusal));
    }
    let caller = agent.caller_for(correlation_id);
    // A unit from before its owner had an installation id is sent in the installation's name.
    let unit = &DeploymentUnit { owner: caller.owner.to_string(), ..unit.clone() };
    match agent.call(agent.crm.apply(&caller, unit)).await {
        Ok(_) => {
            agent.context.recorder.normal(subject, "Sent", || {
                format!("{} took generation {}", agent.cluster, unit.generation)
            });
            call.end(Verdict::Applied(unit.generation, unit.spec_hash.clone()));
            // Its record comes by the watch or the next listing.
            Ok(Requeue::After(SETTLE))
        }
        Err(failure) => call.fail(work, failure),
    }
}

/// Marks the log lines of this reconcile with the correlation id of the write that led to it.
fn record_correlation(correlation_id: Option<&str>) {
    if let Some(correlation_id) = correlation_id {
        Span::current().record("correlation_id", correlation_id);
    }
}

/// Refuses in the CRM's place what it would take without understanding it: fields that a CRM does
/// not know it ignores, and a function would be started without its secrets.
fn unable(agent: &Agent, unit: &DeploymentUnit) -> Option<CallError> {
    let names_secrets = unit.functions.iter().any(|function| !function.secrets.is_empty());
    let view = agent.view.lock();
    let features = &view.health.as_ref()?.features;
    let is_unable = names_secrets && !features.iter().any(|feature| feature == features::SECRETS);
    is_unable.then(|| CallError::Refused {
        status: 400,
        code: Some("secrets_unsupported".to_owned()),
        message: "it was not asked: the unit names secrets, which its features lack".to_owned(),
    })
}

async fn delete(agent: &Agent, work: &Work, removal: &Removal) -> Result<Requeue, Error> {
    let Removal { id, deployment, generation, package, uid, correlation_id } = removal;
    let generation = *generation;
    record_correlation(correlation_id.as_deref());
    tracing::info!(
        cluster = %agent.cluster, deployment = %deployment, unit = %id, generation, "deleting unit"
    );
    let subject = Subject::deployment(deployment, Some(package))
        .of_incarnation(uid.clone())
        .following(correlation_id.clone());
    let call = Call::begin(agent, id, (deployment, package), generation, subject.clone());
    let caller = agent.caller_for(correlation_id.as_deref());
    match agent.call(agent.crm.delete(&caller, id, generation)).await {
        Ok(Deleted::Begun) => {
            call.end(Verdict::DeletionBegun(generation));
            Ok(Requeue::After(ASK_AGAIN))
        }
        Ok(Deleted::Gone) => {
            agent
                .context
                .recorder
                .normal(subject, "Gone", || format!("gone from {}", agent.cluster));
            call.end(Verdict::Gone(generation));
            // Now that it is known to be gone, it can be forgotten.
            Ok(Requeue::After(Duration::ZERO))
        }
        Err(failure) => call.fail(work, failure),
    }
}

/// A call for a unit that is under way. Dropped without an end, it was not answered.
struct Call<'a> {
    agent: &'a Agent,
    id: &'a UnitId,
    deployment: &'a DeploymentKey,
    package: &'a PackageName,
    generation: u64,
    subject: Subject,
    began: Instant,
    is_over: bool,
}

impl<'a> Call<'a> {
    fn begin(
        agent: &'a Agent,
        id: &'a UnitId,
        (deployment, package): (&'a DeploymentKey, &'a PackageName),
        generation: u64,
        subject: Subject,
    ) -> Self {
        let began = Instant::now();
        Self { agent, id, deployment, package, generation, subject, began, is_over: false }
    }

    fn end(mut self, verdict: Verdict) {
        self.is_over = true;
        self.agent.note(self.id, verdict);
    }

    /// Notes a failure, and says when to try again.
    fn fail(self, work: &Work, failure: Failure) -> Result<Requeue, Error> {
        let agent = self.agent;
        let error = match failure {
            Failure::Parked => {
                let mut call = self;
                call.is_over = true;
                if agent.next_probe().is_none() {
                    return Ok(Requeue::After(BUSY_BREAKER));
                }
                agent.park(work.clone());
                return Ok(Requeue::AwaitChange);
            }
            Failure::Call(error) => error,
        };
        if error.may_have_been_done() {
            agent.want_listing();
        }
        let generation = self.generation;
        let (package, subject) = (self.package.clone(), self.subject.clone());
        let verdict = self.verdict_of(&error);
        let is_known = matches!(
            &verdict,
            Verdict::Refused(refusal, _) if agent.mirror.lock().is_known(self.id, refusal)
        );
        if !is_known {
            tracing::warn!(
                cluster = %agent.cluster, unit = %self.id, generation = self.generation,
                took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                error = %Report(&error), "CRM call failed"
            );
        }
        self.end(verdict);
        let (cluster, retry_after) = (agent.cluster.clone(), error.retry_after());
        let error = Error::Call {
            cluster,
            generation,
            source: Box::new(error),
            package: Some(package),
            retry_after,
        };
        if agent.next_probe().is_some() && retry_after.is_none() {
            // The breaker is open: it paces the tries, and all goes on at once when it heals. A CRM
            // that said when to come back is not asked sooner for that.
            agent.context.recorder.warning(subject, error.reason().unwrap_or("CallFailed"), || {
                format!("{}; goes on when the cluster is back", Brief(&error))
            });
            agent.park(work.clone());
            return Ok(Requeue::AwaitChange);
        }
        Err(error)
    }

    fn verdict_of(&self, error: &CallError) -> Verdict {
        let refused = |status, code, message: &str, current_generation| {
            let (generation, at) = (self.generation, (self.agent.context.now)());
            let message = message.to_owned();
            let package_name = Some(self.package.clone());
            let refusal =
                Refusal { generation, package_name, status, code, message, current_generation, at };
            Verdict::Refused(refusal, self.deployment.clone())
        };
        match error {
            CallError::Refused { status, code, message } => {
                refused(*status, code.clone(), message, None)
            }
            // Nothing is wrong with the unit: the cluster's status says what is.
            CallError::Stale { code, current_term, .. } if code == codes::STALE_TERM => {
                if let Some(seen) = current_term {
                    self.agent.note_term(*seen);
                }
                Verdict::NotSent
            }
            CallError::Stale { code, message, current_generation, .. } => {
                refused(409, Some(code.clone()), message, *current_generation)
            }
            error if error.may_have_been_done() => Verdict::Unanswered,
            CallError::Unauthorized { .. }
            | CallError::Busy { .. }
            | CallError::Gone
            | CallError::Unreachable { .. }
            | CallError::Unanswered { .. } => Verdict::NotSent,
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.agent.note(self.id, Verdict::Unanswered);
            self.agent.want_listing();
        }
    }
}
