//! Publication of a package's versions.
//!
//! What a package is now is published under its version; what was is archived under its own when it
//! is replaced ([`super::archive`]). A push moves a package forward only: a version that is not
//! newer than the current one is published beside it, so that what comes of several pushes does not
//! depend on their order. A rollback alone goes back.
//!
//! A push that changes what is published under its version replaces it, with a warning, unless the
//! package or the installation says that versions are immutable.
//!
//! Invariant: what a package is now wins over what is archived under the same version, and is
//! archived there when the package becomes another version. So an archived version may be out of
//! date only while nothing reads it.

use std::collections::BTreeSet;

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::{Check, Op, Precondition, Write, keys::Key};
use oprc_models::{
    canonical::Canonical,
    dependency::Dependency,
    difference,
    meta::{Stored, Timestamp},
    names::PackageName,
    package::OPackage,
    problem::Violation,
    version::{
        PackageVersion, Requirement, StoredVersion, VersionPolicy, content, highest,
        is_same_content,
    },
};
use oprc_planning::resolve::Packages;

use super::{
    Error,
    decision::{Push, Stamp, Verb},
    prospect::Prospect,
    view::View,
};

/// Places that a refusal names, at most.
const MAX_PLACES: usize = 20;

/// Deployments and packages that a warning names, at most.
const MAX_NAMED: usize = 10;

/// Deployments, and packages, that are looked at for a warning, at most.
const MAX_SEARCHED: usize = 10_000;

/// A version to be published beside what its package is.
pub(super) struct Publication {
    pub(super) key: Key,
    precondition: Precondition,
    pub(super) stored: StoredVersion,
    /// What was published under the version before.
    pub(super) replaces: Option<OPackage>,
}

impl Publication {
    pub(super) fn write(&self) -> Result<Write, serde_json::Error> {
        let op = Op::Put(serde_json::to_vec(&self.stored)?.into());
        Ok(Write { key: self.key.to_string(), precondition: self.precondition, op })
    }
}

/// What a push of a package is to what is published of it.
pub(super) enum Publishing {
    /// The package becomes it, and its version was published at this time.
    Forward {
        created_at: Option<Timestamp>,
        /// What must hold of the version's own key.
        check: Option<Check>,
        /// Tells that something else was published under the version, and who resolves to it.
        warning: Option<Violation>,
    },
    /// The package stays what it is.
    Beside {
        /// None: it is published already.
        publication: Option<Box<Publication>>,
        warnings: Vec<Violation>,
    },
}

/// What `push` publishes of a package that is `live` now.
///
/// # Errors
///
/// [`Error::VersionExists`] where something else is published under the version, which is immutable.
pub(super) fn of(
    view: &View<'_>,
    push: &Push<'_, OPackage>,
    live: Option<&Entry<Stored<OPackage>>>,
    stamp: &Stamp<'_>,
) -> Result<Publishing, Error> {
    let package = push.spec;
    let forward =
        |created_at, warning| Ok(Publishing::Forward { created_at, check: None, warning });
    let Some(version) = PackageVersion::of(package) else { return forward(None, None) };
    let Some(live) = live else { return forward(Some(stamp.now), None) };
    let Stored { meta, spec } = &*live.value;
    let is_immutable = stamp.version_policy == VersionPolicy::Immutable
        || package.metadata.immutable
        || spec.metadata.immutable;
    let current = PackageVersion::of(spec);
    if current.as_ref() == Some(&version) {
        let created_at = meta.version_created_at.unwrap_or(meta.updated_at);
        let is_same = is_same_content(package, spec);
        if !is_same && is_immutable {
            return Err(differs(package, &version, spec)?);
        }
        let warning = (!is_same).then(|| replaces(view, push, &version, true));
        return forward(Some(created_at), warning);
    }
    let key = Key::PackageVersion(package.name.clone(), version.clone());
    if let Some(reason) = view.state.unreadable.get(&key) {
        return Err(Error::Unreadable { key: key.to_string(), reason: reason.clone() });
    }
    let archived = view.archived_version(&package.name, &version);
    let precondition =
        archived.as_ref().map_or(Precondition::Absent, |e| Precondition::At(e.revision));
    let published = archived.filter(|entry| *entry.value.uid == *meta.uid);
    let published = published.map(|entry| entry.value.unpack());
    let changes = published.as_ref().filter(|it| !is_same_content(package, &it.spec));
    if let Some(other) = changes
        && (is_immutable || other.immutable)
    {
        return Err(differs(package, &version, &other.spec)?);
    }
    let created_at = published.as_ref().map_or(stamp.now, |published| published.created_at);
    let becomes = current.as_ref().is_none_or(|current| version.is_newer_than(current));
    let warning = |is_current| changes.map(|_| replaces(view, push, &version, is_current));
    let Some(current) = current.filter(|_| !becomes) else {
        return forward(Some(created_at), warning(true));
    };
    if push.verb == Verb::Restore {
        // Nothing else may be published beside it in the meantime.
        let check = Some(Check { key: key.to_string(), precondition });
        let (created_at, warning) = (Some(created_at), warning(true));
        return Ok(Publishing::Forward { created_at, check, warning });
    }
    let mut warnings = vec![stays(package, &version, &current)];
    warnings.extend(warning(false));
    let publication = (published.is_none() || changes.is_some()).then(|| {
        let stored = StoredVersion::new(meta.uid.clone(), created_at, package);
        let replaces = changes.map(|other| other.spec.clone());
        Box::new(Publication { key, precondition, stored, replaces })
    });
    Ok(Publishing::Beside { publication, warnings })
}

/// Warns that the push replaces what is published under `version`, and names who resolves to it.
/// `is_current`: the package is that version after the push.
fn replaces(
    view: &View<'_>,
    push: &Push<'_, OPackage>,
    version: &PackageVersion,
    is_current: bool,
) -> Violation {
    let name = &push.spec.name;
    let versions = Prospect::of_push(view, push).versions(name);
    let resolves = |requirement: Option<Requirement>| match requirement {
        None => is_current,
        Some(requirement) => highest(&requirement, &versions) == Some(version),
    };
    let deployments = view.state.deployments_of_package(name).iter().take(MAX_SEARCHED);
    let deployments = deployments.filter(|key| {
        let entry = view.state.deployments.get(*key);
        entry.is_some_and(|entry| match entry.value.spec.requirement() {
            None => resolves(None),
            Some(requirement) => requirement.is_ok_and(|it| resolves(Some(it))),
        })
    });
    let needs = |text: &str| {
        let parsed = Dependency::parse(text).ok().filter(|it| it.name == *name);
        parsed.is_some_and(|it| resolves(it.requirement))
    };
    let now = view.state.dependants_of_package(name).iter().filter(|other| {
        let entry = view.state.packages.get(*other);
        entry.is_some_and(|it| it.value.spec.dependencies.iter().any(|text| needs(text)))
    });
    let by_versions = view.state.needed_by_versions(name);
    let by_versions =
        by_versions.filter_map(|(other, mut texts)| texts.any(needs).then_some(other));
    // What the caller may not see is not told of.
    let packages = now.chain(by_versions).filter(|other| push.by.authority.sees(other));
    let packages: BTreeSet<_> = packages.take(MAX_SEARCHED).collect();
    let users: Vec<String> = deployments
        .map(|key| format!("deployment {key}"))
        .chain(packages.into_iter().map(|other| format!("package {other}")))
        .collect();
    let who = match users.len() {
        0 => "nothing resolves to it".to_owned(),
        n if n > MAX_NAMED => {
            let named = users.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>();
            format!("{} and {} more resolve to it", named.join(", "), n - MAX_NAMED)
        }
        1 => format!("{} resolves to it", users.join("")),
        _ => format!("{} resolve to it", users.join(", ")),
    };
    let message = format!(
        "this replaces what is published as version {version} of package {name}: {who}; give it a \
         new version to leave them as they are"
    );
    Violation::new("/version", message)
}

/// That the package stays what it is, for whoever pushed another version of it.
fn stays(package: &OPackage, version: &PackageVersion, current: &PackageVersion) -> Violation {
    let why = if version > current { "a pre-release" } else { "lower" };
    let aside = if package.deployments.is_empty() {
        ""
    } else {
        "; the deployments that it declares are left aside"
    };
    let message = format!(
        "{version} is {why}, so it is published beside {current}, which {} stays: deployments that \
         follow the newest keep following {current}; to run {version}, pin it with package_version, \
         or roll back{aside}",
        package.name
    );
    Violation::new("/version", message)
}

/// The refusal of a push that differs from what is `published` under the same version.
fn differs(
    package: &OPackage,
    version: &PackageVersion,
    published: &OPackage,
) -> Result<Error, serde_json::Error> {
    let what = format!("version {version} of package {}", package.name);
    // How the version is written is no part of its content.
    let content = |of: &OPackage| {
        let mut content = content(of);
        content.version = None;
        content.drop_defaults();
        serde_json::to_value(&content)
    };
    let changes = difference::between(&content(published)?, &content(package)?).changes;
    let place = |change: difference::Change| {
        let how = match (change.old, change.new) {
            (None, _) => "is not in",
            (_, None) => "is missing here, and is in",
            (Some(_), Some(_)) => "differs from",
        };
        Violation::new(change.pointer, format!("{how} what is published as {what}"))
    };
    let mut violations: Vec<Violation> = changes.into_iter().take(MAX_PLACES).map(place).collect();
    if violations.is_empty() {
        // Written differently, though it means the same.
        violations.push(Violation::new("", format!("differs from what is published as {what}")));
    }
    Ok(Error::VersionExists { what, violations })
}

/// What a package is published as, whose document is to be replaced by something of another version.
pub(super) fn replaced(
    stored: &Stored<OPackage>,
    next: Option<&OPackage>,
) -> Option<(PackageName, PackageVersion)> {
    let version = PackageVersion::of(&stored.spec)?;
    let is_same = next.and_then(PackageVersion::of).as_ref() == Some(&version);
    (!is_same).then(|| (stored.spec.name.clone(), version))
}
