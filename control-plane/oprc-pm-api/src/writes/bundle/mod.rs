//! Many documents at once, all of them or none.
//!
//! A push is decided on as a whole (`plan.rs`), document by document, each seeing the others
//! (`scope.rs`). What fits one transaction is one; what does not is staged: each document gets an
//! intent beside it, and one key makes all of them true at one moment (`stage.rs`,
//! [`oprc_models::push`]).
//!
//! Invariants:
//! - a push that was refused has changed nothing that anyone can see;
//! - all that it touches, what it prunes too, is shown to [`BundlePush::permit`] before anything is
//!   written;
//! - the cache is looked at in short looks: the checks of the transaction tell if it changed in
//!   between.

mod check;
mod plan;
mod preview;
mod prune;
mod scope;
mod stage;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use oprc_controller_runtime::cache::State;
use oprc_cp_storage::{Error as StoreError, Revision, Txn, keys::Key};
use oprc_models::{
    bundle::Bundle,
    deployment::OClassDeployment,
    difference::Difference,
    meta::Generation,
    names::{BundleName, PackageName, PushId},
    package::OPackage,
    problem::Violation,
    push::Fate,
};
use tokio::time::Instant;

pub use self::preview::{ClusterChanges, Effects, Site};
pub(super) use self::scope::Scope;
use self::{
    plan::{Parts, Plan},
    stage::Prepared,
};
use super::{Conditions, Error, MAX_CONFLICTS, Outcome, Provenance, Writes, archive, draft};
use crate::auth::Authority;

/// How long a push, or another write, waits for a push that is in its way to be decided.
const PATIENCE: Duration = Duration::from_secs(3);

/// One document of a push.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it stands: a pointer into the body.
    pub at: String,
    /// What it says.
    pub spec: DocumentSpec,
    /// What must hold of the stored document; no entity tags.
    pub conditions: Conditions,
}

impl Document {
    /// The key of what it says.
    #[must_use]
    pub fn key(&self) -> Key {
        match &self.spec {
            DocumentSpec::Package(spec) => Key::Package(spec.name.clone()),
            DocumentSpec::Deployment(spec) => Key::Deployment(spec.key.clone()),
        }
    }
}

/// What a document says. It was validated.
#[derive(Clone, Debug)]
pub enum DocumentSpec {
    /// A package.
    Package(OPackage),
    /// A deployment that stands by itself.
    Deployment(OClassDeployment),
}

/// One document that a push is about to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its key.
    pub key: Key,
    /// The package that it is, or is of.
    pub package: PackageName,
    /// What is to become of it.
    pub outcome: Outcome,
}

/// What someone wants stored, all of it or nothing.
#[derive(Clone, Copy)]
pub struct BundlePush<'a> {
    /// The documents.
    pub documents: &'a [Document],
    /// Whose they are to be.
    pub bundle: Option<&'a BundleName>,
    /// Whether what the bundle has and the push has not is to go.
    pub prune: bool,
    /// `true` if pruning may remove every document that the bundle owns.
    pub allow_empty: bool,
    /// Whether what belongs to another bundle, or to a package, is taken from it.
    pub force: bool,
    /// Who asks for it, from where; stored with each document.
    pub by: Provenance<'a>,
    /// Looks at all that is about to be touched, and may refuse it.
    pub permit: &'a (dyn Fn(&[Touched]) -> Result<(), Error> + Send + Sync),
}

/// What became of one document.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Where it stands in the push; none: it was pruned.
    pub at: Option<String>,
    /// Its key.
    pub key: Key,
    /// What became of it.
    pub outcome: Outcome,
    /// Its generation now.
    pub generation: Generation,
    /// The package that declares it, of a deployment inside one.
    pub owner: Option<PackageName>,
    /// What does not resolve yet, by pointer into the document.
    pub warnings: Vec<Violation>,
}

/// A push that was accepted, and may have changed nothing.
#[derive(Clone, Debug)]
pub struct BundleWritten {
    /// Its documents in the order of the push, those inside a package after it; then the pruned.
    pub applied: Vec<Applied>,
    /// The bundle as it is now, if one was pushed.
    pub bundle: Option<Bundle>,
}

/// What a push would do.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What would become of each document.
    pub written: BundleWritten,
    /// What differs in the documents that would be replaced.
    pub differences: BTreeMap<Key, Difference>,
    /// What the clusters would do.
    pub effects: Effects,
}

/// Why a try did not land.
enum Unlanded {
    /// Someone else wrote first: decide again.
    Conflict,
    /// It is refused, or not known.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Unlanded {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Writes {
    /// Creates or replaces all `push` has, prunes what it is told to, or does nothing.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every violation of every document. Only after [`Error::MaybeDone`] and
    /// [`Error::Full`] may it have taken effect, and then all of it has.
    pub async fn apply(&self, push: &BundlePush<'_>) -> Result<BundleWritten, Error> {
        let begun = Instant::now();
        let parts = Parts::new(push);
        // Pushes of one bundle go one by one, as far as one process can tell.
        let turn = push.bundle.map(|bundle| Key::Bundle(bundle.clone()));
        let _turn = match &turn {
            Some(key) => Some(self.turn(key).lock().await),
            None => None,
        };
        let mut n_conflicts = 0;
        let plan = loop {
            let plan = self.plan(&parts).await?;
            if !plan.undecided.is_empty() {
                self.until_decided(&plan.undecided, turn.as_ref()).await?;
                continue;
            }
            (push.permit)(&plan.touched())?;
            plan.refuse_emptying()?;
            if !plan.writes_something() {
                break plan;
            }
            match self.carry_out(&plan).await {
                Ok(()) => break plan,
                Err(Unlanded::Failed(error)) => {
                    count("failed");
                    return Err(error);
                }
                Err(Unlanded::Conflict) => {
                    metrics::counter!("oprc_pm_write_conflicts_total").increment(1);
                    n_conflicts += 1;
                    if n_conflicts == MAX_CONFLICTS {
                        count("contended");
                        return Err(contended(turn.as_ref()));
                    }
                }
            }
        };
        count(if plan.writes_something() { "applied" } else { "unchanged" });
        metrics::histogram!("oprc_pm_push_duration_seconds").record(begun.elapsed().as_secs_f64());
        let written = plan.written();
        tracing::info!(
            bundle = push.bundle.map(BundleName::as_str),
            documents = written.applied.len(),
            correlation_id = push.by.correlation_id,
            "push applied"
        );
        Ok(written)
    }

    /// Previews [`Writes::apply`]: what it would do, and what the clusters would.
    ///
    /// # Errors
    ///
    /// As [`Writes::apply`], as far as can be told without writing.
    pub async fn preview(&self, push: &BundlePush<'_>, site: Site<'_>) -> Result<Preview, Error> {
        let parts = Parts::new(push);
        let plan = self.plan(&parts).await?;
        (push.permit)(&plan.touched())?;
        plan.refuse_emptying()?;
        let differences = preview::differences(&plan)?;
        let effects = preview::effects(&self.cache, &plan, site, plan.now).await;
        Ok(Preview { written: plan.written(), differences, effects })
    }

    /// Decides on `parts`, on a fresh view.
    async fn plan<'p>(&self, parts: &'p Parts<'p>) -> Result<Plan<'p>, Error> {
        if self.cache.position().revision.is_none() {
            return Err(Error::NotReady);
        }
        self.freshness.wait().await?;
        plan::plan(self, parts)
    }

    /// Writes what was decided: in one transaction, if it fits one.
    async fn carry_out(&self, plan: &Plan<'_>) -> Result<(), Unlanded> {
        let prepared = Prepared::new(plan)?;
        let mut txn = Txn { checks: Vec::new(), writes: prepared.plain_writes() };
        txn.writes.extend(plan.bundle_write()?);
        plan.publish(&mut txn)?;
        let early = archive::join(&mut txn, &plan.archived, self.max_txn_ops)?;
        let (early, mut txn) = plan.stored_at.of_all(early, txn);
        for txn in early {
            self.land_one(txn).await?;
        }
        if draft::fits(&txn, self.max_txn_ops).is_err() {
            return self.stage(plan, &prepared).await;
        }
        fill_with_checks(&mut txn, plan, self.max_txn_ops);
        self.land_one(txn).await
    }

    async fn land_one(&self, txn: Txn) -> Result<(), Unlanded> {
        match self.txn(txn).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(Unlanded::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until `pushes` are decided.
    pub(super) async fn until_decided(
        &self,
        pushes: &BTreeSet<PushId>,
        key: Option<&Key>,
    ) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let next = self.cache.position().revision.unwrap_or_default().next();
            let is_decided = {
                let state = self.cache.read();
                pushes.iter().all(|push| state.fate(push) != Fate::Pending)
            };
            if is_decided {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(contended(key));
            }
            // A listing may have decided them without a change: when the wait is over, one more look.
            let _ = self.cache.wait_for(next, left).await;
        }
    }
}

/// What was looked at and not written must still be so: as much of it as one transaction holds. The
/// plan was made on a fresh view, so what is left out was so a moment before.
fn fill_with_checks(txn: &mut Txn, plan: &Plan<'_>, max_ops: usize) {
    let checked: BTreeSet<String> = txn.checks.iter().map(|check| check.key.clone()).collect();
    for check in plan.checks().into_iter().filter(|check| !checked.contains(&check.key)) {
        txn.checks.push(check);
        if draft::fits(txn, max_ops).is_err() {
            txn.checks.pop();
            break;
        }
    }
}

fn contended(key: Option<&Key>) -> Error {
    let key = key.map_or_else(|| "a document of the push".to_owned(), ToString::to_string);
    Error::Contended { key }
}

fn count(outcome: &'static str) {
    metrics::counter!("oprc_pm_pushes_total", "outcome" => outcome).increment(1);
}

/// Whether `authority` may know of the document `key`.
pub(crate) fn sees(state: &State, authority: Authority<'_>, key: &Key) -> bool {
    match key {
        _ if authority.sees_all() => true,
        Key::Package(name) => authority.sees(name),
        Key::Deployment(key) => {
            let found = state.deployments.get(key);
            found.is_some_and(|entry| authority.sees(&entry.value.spec.package_name))
        }
        _ => false,
    }
}

/// The revision of what is shown, where nothing is.
const NEVER: Revision = Revision(0);

pub(super) fn describe_metrics() {
    metrics::describe_counter!("oprc_pm_pushes_total", "Pushes of many documents, by outcome");
    metrics::describe_histogram!(
        "oprc_pm_push_duration_seconds",
        metrics::Unit::Seconds,
        "From a push of many documents to its effect"
    );
    metrics::describe_counter!(
        "oprc_pm_pushes_staged_total",
        "Pushes that took more than one transaction"
    );
}
