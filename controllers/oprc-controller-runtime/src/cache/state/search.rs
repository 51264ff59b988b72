//! Indexes for the filters of lists.
//!
//! A [`Postings`] is one ordered set of (term, name). A term is the hash of an indexed property, a
//! label with its value for example, so a rare value costs no more than a frequent one: about 40
//! bytes for each property of each document, which the limits of documents bound. The names share
//! their text with the maps of documents.
//!
//! The names that have several properties are found by leaping: each step goes to the first name
//! that none of the properties rules out, so a step skips everything in between. The result is a
//! superset, in order: two properties may share a hash, and a step may land on a name that only one
//! property has. Callers apply their filter to each candidate.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Bound,
};

use oprc_cp_storage::keys::Key;
use oprc_models::{
    deployment::OClassDeployment,
    meta::Stored,
    names::{BundleName, ClusterName, DeploymentKey, PackageName},
    package::OPackage,
    record::RunCondition,
    selector::{LabelRequirement, LabelTest},
};

use super::{Entry, State};

/// Most criteria that a search uses. The others are left to the caller's filter: each costs a
/// look-up a step, and hardly narrows the result further.
const MAX_CRITERIA: usize = 4;
/// Most values of a criterion that is used, for the same reason.
const MAX_TERMS: usize = 8;

/// Hash of an indexed property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Term(u64);

impl Term {
    fn new(property: &impl Hash) -> Self {
        // Without a random key: a collision costs a caller one more look, nothing else.
        let mut hasher = DefaultHasher::new();
        property.hash(&mut hasher);
        Self(hasher.finish())
    }

    fn label(name: &str, value: &str) -> Self {
        Self::new(&("label", name, value))
    }

    fn label_name(name: &str) -> Self {
        Self::new(&("label", name))
    }

    fn tag(tag: &str) -> Self {
        Self::new(&("tag", tag))
    }

    fn target(cluster: &ClusterName) -> Self {
        Self::new(&("target", cluster.as_str()))
    }

    fn run_state(run_state: RunCondition) -> Self {
        Self::new(&("run state", run_state))
    }
}

/// Names of documents.
pub trait Name: Clone + Ord {
    /// The name that sorts before all others.
    fn least() -> Self;
    /// The first document of this kind in `documents` from `from` on.
    fn next_in<'s>(documents: &'s BTreeSet<Key>, from: Bound<&Self>) -> Option<&'s Self>;
}

impl Name for PackageName {
    fn least() -> Self {
        Self::least()
    }

    fn next_in<'s>(documents: &'s BTreeSet<Key>, from: Bound<&Self>) -> Option<&'s Self> {
        match next_key(documents, from, Key::Package) {
            Some(Key::Package(name)) => Some(name),
            _ => None,
        }
    }
}

impl Name for DeploymentKey {
    fn least() -> Self {
        Self::least()
    }

    fn next_in<'s>(documents: &'s BTreeSet<Key>, from: Bound<&Self>) -> Option<&'s Self> {
        match next_key(documents, from, Key::Deployment) {
            Some(Key::Deployment(key)) => Some(key),
            _ => None,
        }
    }
}

fn next_key<'s, K: Name>(
    documents: &'s BTreeSet<Key>,
    from: Bound<&K>,
    key: impl Fn(K) -> Key,
) -> Option<&'s Key> {
    let from = match from {
        Bound::Unbounded => Bound::Included(key(K::least())),
        Bound::Included(name) => Bound::Included(key(name.clone())),
        Bound::Excluded(name) => Bound::Excluded(key(name.clone())),
    };
    documents.range((from, Bound::Unbounded)).next()
}

/// Names by property.
#[derive(Debug)]
pub(super) struct Postings<K>(BTreeSet<(Term, K)>);

impl<K> Default for Postings<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Name> Postings<K> {
    /// Replaces the terms `old` of `name` by `new`.
    fn replace(&mut self, name: &K, old: &BTreeSet<Term>, new: &BTreeSet<Term>) {
        for term in old.difference(new) {
            self.0.remove(&(*term, name.clone()));
        }
        for term in new.difference(old) {
            self.0.insert((*term, name.clone()));
        }
    }

    /// The first name with `term` from `from` on.
    fn next(&self, term: Term, from: Bound<&K>) -> Option<&K> {
        let from = match from {
            Bound::Unbounded => Bound::Included((term, K::least())),
            Bound::Included(name) => Bound::Included((term, name.clone())),
            Bound::Excluded(name) => Bound::Excluded((term, name.clone())),
        };
        let (found, name) = self.0.range((from, Bound::Unbounded)).next()?;
        (*found == term).then_some(name)
    }
}

/// Condition on documents that an index knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// A deployment is of this package.
    Package(PackageName),
    /// A document belongs to this bundle.
    Bundle(BundleName),
    /// A deployment names this cluster as a target, or has a unit there.
    Cluster(ClusterName),
    /// A deployment is in this run state.
    RunState(RunCondition),
    /// A package has this tag.
    Tag(String),
    /// A document has this label, with any value.
    Label(String),
    /// A document has this label, with one of these values.
    LabelIn(String, Vec<String>),
}

impl Criterion {
    /// The criterion of `requirement`; `None` where no index helps.
    #[must_use]
    pub fn of_label(requirement: &LabelRequirement) -> Option<Self> {
        let name = requirement.name.clone();
        match &requirement.test {
            LabelTest::In(values) if values.len() <= MAX_TERMS => {
                Some(Self::LabelIn(name, values.clone()))
            }
            LabelTest::In(_) | LabelTest::Exists => Some(Self::Label(name)),
            LabelTest::NotIn(_) | LabelTest::Absent => None,
        }
    }

    fn terms(&self) -> Vec<Term> {
        match self {
            Self::Package(_) | Self::Bundle(_) => Vec::new(),
            Self::Cluster(cluster) => vec![Term::target(cluster)],
            Self::RunState(run_state) => vec![Term::run_state(*run_state)],
            Self::Tag(tag) => vec![Term::tag(tag)],
            Self::Label(name) => vec![Term::label_name(name)],
            Self::LabelIn(name, values) => {
                values.iter().map(|value| Term::label(name, value)).collect()
            }
        }
    }
}

/// Where the names that meet one criterion are found: in any of these.
struct Source<'s, K> {
    terms: Vec<Term>,
    names: Option<&'s BTreeSet<K>>,
    documents: Option<&'s BTreeSet<Key>>,
}

/// Names that may meet several criteria, in order.
pub struct Candidates<'s, K> {
    postings: &'s Postings<K>,
    sources: Vec<Source<'s, K>>,
    last: Option<&'s K>,
    after: Option<K>,
}

impl<'s, K: Name> Candidates<'s, K> {
    fn seek(&self, source: &Source<'s, K>, from: Bound<&K>) -> Option<&'s K> {
        let terms = source.terms.iter().filter_map(|term| self.postings.next(*term, from));
        let names =
            source.names.and_then(|names| names.range::<K, _>((from, Bound::Unbounded)).next());
        let documents = source.documents.and_then(|documents| K::next_in(documents, from));
        terms.chain(names).chain(documents).min()
    }
}

impl<'s, K: Name> Iterator for Candidates<'s, K> {
    type Item = &'s K;

    fn next(&mut self) -> Option<&'s K> {
        let from = match (self.last, &self.after) {
            (Some(name), _) => Bound::Excluded(name),
            (None, Some(name)) => Bound::Excluded(name),
            (None, None) => Bound::Unbounded,
        };
        // Between `from` and the farthest of the next names, at least one source has nothing.
        let mut farthest = None;
        for source in &self.sources {
            farthest = farthest.max(Some(self.seek(source, from)?));
        }
        self.last = farthest;
        farthest
    }
}

impl State {
    /// The run state of the deployment `key`: `PENDING` until a controller has looked at this
    /// incarnation, in its present package.
    #[must_use]
    pub fn run_state(&self, key: &DeploymentKey) -> Option<RunCondition> {
        let deployment = self.deployments.get(key)?;
        let status = self.deployment_statuses.get(key);
        let status = status.filter(|status| status.value.is_of(&deployment.value.meta));
        Some(status.map_or_else(RunCondition::default, |status| status.value.condition))
    }

    /// The deployments after `after` that may meet all of `criteria`, in order: a superset. `None` if
    /// there is no criterion, so that every deployment may.
    #[must_use]
    pub fn search_deployments<'s>(
        &'s self,
        criteria: &[Criterion],
        after: Option<&DeploymentKey>,
    ) -> Option<Candidates<'s, DeploymentKey>> {
        let source = |criterion: &Criterion| Source {
            terms: criterion.terms(),
            names: match criterion {
                Criterion::Package(package) => Some(self.deployments_of_package(package)),
                Criterion::Cluster(cluster) => Some(self.units_of_cluster(cluster)),
                _ => None,
            },
            documents: self.documents_of(criterion),
        };
        candidates(&self.deployment_postings, criteria.iter().map(source), after)
    }

    /// As [`State::search_deployments`], of packages.
    #[must_use]
    pub fn search_packages<'s>(
        &'s self,
        criteria: &[Criterion],
        after: Option<&PackageName>,
    ) -> Option<Candidates<'s, PackageName>> {
        let source = |criterion: &Criterion| Source {
            terms: criterion.terms(),
            names: None,
            documents: self.documents_of(criterion),
        };
        candidates(&self.package_postings, criteria.iter().map(source), after)
    }

    fn documents_of(&self, criterion: &Criterion) -> Option<&BTreeSet<Key>> {
        match criterion {
            Criterion::Bundle(bundle) => Some(self.owned_by_bundle(bundle)),
            _ => None,
        }
    }

    /// Indexes the package `name`, which was `old`.
    pub(super) fn index_package(
        &mut self,
        name: &PackageName,
        old: Option<&Entry<Stored<OPackage>>>,
    ) {
        let new = self.packages.get_key_value(name);
        let terms = |entry: &Entry<Stored<OPackage>>| package_terms(&entry.value.spec);
        let [was, is] = [old, new.map(|(_, entry)| entry)].map(|entry| entry.map(terms));
        let name = new.map_or(name, |(name, _)| name);
        self.package_postings.replace(name, &was.unwrap_or_default(), &is.unwrap_or_default());
    }

    /// Indexes the deployment `key`, which was `old`, its run state aside.
    pub(super) fn index_deployment(
        &mut self,
        key: &DeploymentKey,
        old: Option<&Entry<Stored<OClassDeployment>>>,
    ) {
        let new = self.deployments.get_key_value(key);
        let terms = |entry: &Entry<Stored<OClassDeployment>>| deployment_terms(&entry.value.spec);
        let [was, is] = [old, new.map(|(_, entry)| entry)].map(|entry| entry.map(terms));
        let key = new.map_or(key, |(key, _)| key);
        self.deployment_postings.replace(key, &was.unwrap_or_default(), &is.unwrap_or_default());
    }

    /// Indexes the run state of the deployment `key`, which was `old`.
    pub(super) fn index_run_state(&mut self, key: &DeploymentKey, old: Option<RunCondition>) {
        let terms = |run_state: Option<RunCondition>| run_state.map(Term::run_state);
        let [was, is] = [old, self.run_state(key)].map(|state| terms(state).into_iter().collect());
        let key = self.deployments.get_key_value(key).map_or(key, |(key, _)| key);
        self.deployment_postings.replace(key, &was, &is);
    }
}

fn candidates<'s, K: Name>(
    postings: &'s Postings<K>,
    sources: impl Iterator<Item = Source<'s, K>>,
    after: Option<&K>,
) -> Option<Candidates<'s, K>> {
    let sources: Vec<Source<'s, K>> = sources.take(MAX_CRITERIA).collect();
    let has_any = !sources.is_empty();
    has_any.then(|| Candidates { postings, sources, last: None, after: after.cloned() })
}

fn package_terms(package: &OPackage) -> BTreeSet<Term> {
    let tags = package.metadata.tags.iter().map(|tag| Term::tag(tag));
    labels(&package.labels).chain(tags).collect()
}

fn deployment_terms(deployment: &OClassDeployment) -> BTreeSet<Term> {
    labels(&deployment.labels).chain(deployment.target_envs.iter().map(Term::target)).collect()
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> impl Iterator<Item = Term> + '_ {
    labels.iter().flat_map(|(name, value)| [Term::label_name(name), Term::label(name, value)])
}

#[cfg(test)]
mod tests;
