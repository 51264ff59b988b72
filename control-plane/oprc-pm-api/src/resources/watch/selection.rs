//! What a watcher is shown: the kinds and names it asked for, of what its caller may see.

use oprc_controller_runtime::cache::feed::{Contents, Object, Snapshot};
use oprc_models::names::{ClusterName, DeploymentKey, PackageName};

use super::super::{clusters, deployments, holds, packages, records};
use crate::{call::By, error::ApiError, params::Params};

/// What can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Package,
    Deployment,
    Cluster,
    Record,
}

/// In the order in which the initial state has them, which is that of [`Object`].
const KINDS: [Kind; 4] = [Kind::Package, Kind::Deployment, Kind::Cluster, Kind::Record];

impl Kind {
    /// The kind of `object`.
    pub(super) fn of(object: &Object) -> Self {
        match object {
            Object::Package(_) => Self::Package,
            Object::Deployment(_) => Self::Deployment,
            Object::Cluster(_) => Self::Cluster,
            Object::Record(..) => Self::Record,
        }
    }

    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Deployment => "deployment",
            Self::Cluster => "cluster",
            Self::Record => "deployment-record",
        }
    }
}

/// What one watcher is shown.
pub(crate) struct Selection {
    by: By,
    filter: Filter,
}

/// What was asked for.
pub(crate) enum Filter {
    /// `/watch`: several kinds.
    Kinds { kinds: Vec<Kind>, package: Option<PackageName>, part: Option<String> },
    /// `/packages?watch=true`.
    Packages(packages::Filter),
    /// `/deployments?watch=true`.
    Deployments(deployments::Filter),
    /// `/clusters?watch=true`: names that hold this.
    Clusters(Option<String>),
    /// `/deployment-records?watch=true`: of this cluster, of this deployment.
    Records(Option<ClusterName>, Option<DeploymentKey>),
}

impl Filter {
    /// The filter of `/watch`.
    pub(super) fn of_kinds(params: &mut Params) -> Result<Self, ApiError> {
        let kinds = match params.text("kinds")? {
            None => KINDS.to_vec(),
            Some(words) => words.split(',').map(kind).collect::<Result<_, _>>()?,
        };
        Ok(Self::Kinds { kinds, package: params.get("package")?, part: params.text("name")? })
    }
}

fn kind(word: &str) -> Result<Kind, ApiError> {
    KINDS.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
        let words = KINDS.map(Kind::word).join(", ");
        let word: String = word.chars().take(80).collect();
        let detail = format!("kinds: want some of {words}, with commas in between, not {word:?}");
        ApiError::bad_request("invalid_parameter", detail)
    })
}

impl Selection {
    pub(crate) fn new(by: By, filter: Filter) -> Self {
        Self { by, filter }
    }

    /// Whether there can be anything of `kind`.
    pub(super) fn has(&self, kind: Kind) -> bool {
        match &self.filter {
            Filter::Kinds { kinds, .. } => kinds.contains(&kind),
            Filter::Packages(_) => kind == Kind::Package,
            Filter::Deployments(_) => kind == Kind::Deployment,
            Filter::Clusters(_) => kind == Kind::Cluster,
            Filter::Records(..) => kind == Kind::Record,
        }
    }

    /// The package whose deployments alone are asked for, if it is one's.
    pub(super) fn package(&self) -> Option<&PackageName> {
        match &self.filter {
            Filter::Kinds { package, .. } => package.as_ref(),
            Filter::Deployments(filter) => filter.package(),
            Filter::Packages(_) | Filter::Clusters(_) | Filter::Records(..) => None,
        }
    }

    /// Whether the watcher is shown `object`, being as `snapshot` says.
    pub(super) fn shows(&self, object: &Object, snapshot: &Snapshot) -> bool {
        let kind = Kind::of(object);
        self.has(kind) && self.passes(object, snapshot) && self.may_see(snapshot)
    }

    /// Whether the caller may see it. **The one place where an event is withheld from a caller**:
    /// it has all that a list has, the kind and the package.
    fn may_see(&self, snapshot: &Snapshot) -> bool {
        let grants = self.by.grants();
        match (&snapshot.contents, package_of(snapshot)) {
            // Whoever has a role sees them, and who has none watches nothing.
            (Contents::Cluster(_), _) => true,
            (Contents::Record { entry, package }, _) => {
                records::may_see(grants, &entry.value, package.as_ref())
            }
            (Contents::Package(_) | Contents::Deployment(_), Some(package)) => grants.sees(package),
            (Contents::Package(_) | Contents::Deployment(_), None) => grants.sees_all(),
        }
    }

    /// Whose watch it is.
    pub(super) fn by(&self) -> &By {
        &self.by
    }

    fn passes(&self, object: &Object, snapshot: &Snapshot) -> bool {
        match (&self.filter, &snapshot.contents) {
            (Filter::Kinds { package, part, .. }, _) => {
                let of = || package_of(snapshot);
                package.as_ref().is_none_or(|package| of() == Some(package))
                    && (part.is_none() || holds(&name(object), part.as_ref()))
            }
            (Filter::Packages(filter), Contents::Package(package)) => {
                filter.passes(&package.entry.value)
            }
            (Filter::Deployments(filter), Contents::Deployment(deployment)) => {
                filter.passes_row(&deployments::shown(deployment, snapshot.is_stale))
            }
            (Filter::Clusters(part), Contents::Cluster(cluster)) => {
                clusters::passes(&cluster.entry.value.spec, part.as_ref())
            }
            (Filter::Records(cluster, deployment), Contents::Record { entry, .. }) => {
                records::passes(&entry.value, cluster.as_ref(), deployment.as_ref())
            }
            _ => false,
        }
    }
}

/// The package that it is, or is of; none for a cluster, and for a record whose deployment is gone.
fn package_of(snapshot: &Snapshot) -> Option<&PackageName> {
    match &snapshot.contents {
        Contents::Package(package) => Some(&package.entry.value.spec.name),
        Contents::Deployment(deployment) => Some(&deployment.entry.value.spec.package_name),
        Contents::Cluster(_) => None,
        Contents::Record { package, .. } => package.as_ref(),
    }
}

/// The name of `object` among those of its kind.
pub(super) fn name(object: &Object) -> String {
    match object {
        Object::Package(name) => name.to_string(),
        Object::Deployment(key) => key.to_string(),
        Object::Cluster(name) => name.to_string(),
        Object::Record(cluster, id) => format!("{cluster}/{id}"),
    }
}
