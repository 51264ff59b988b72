//! What a push of a package publishes under its version.
//!
//! What a package is now is published under its version; what was is archived under its own when it
//! is replaced ([`super::archive`]). A push moves a package forward only: a version that is not
//! newer than the current one is published beside it, so that what comes of several pushes does not
//! depend on their order. A rollback alone goes back.
//!
//! Invariant: what is published under a version never becomes something else while it is kept.

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::{Check, Op, Precondition, Write, keys::Key};
use oprc_models::{
    difference,
    meta::{Stored, Timestamp},
    names::PackageName,
    package::OPackage,
    problem::Violation,
    version::{PackageVersion, StoredVersion, content, is_same_content},
};

use super::{
    Error,
    decision::{Push, Stamp, Verb},
    view::View,
};

/// Places that a refusal names, at most.
const MAX_PLACES: usize = 20;

/// A version to be published beside what its package is.
pub(super) struct Publication {
    pub(super) key: Key,
    precondition: Precondition,
    pub(super) stored: StoredVersion,
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
    },
    /// The package stays what it is.
    Beside {
        /// None: it is published already.
        publication: Option<Box<Publication>>,
        warning: Violation,
    },
}

/// What `push` publishes of a package that is `live` now.
///
/// # Errors
///
/// [`Error::VersionExists`] where something else is published under the version.
pub(super) fn of(
    view: &View<'_>,
    push: &Push<'_, OPackage>,
    live: Option<&Entry<Stored<OPackage>>>,
    stamp: &Stamp<'_>,
) -> Result<Publishing, Error> {
    let package = push.spec;
    let forward = |created_at| Ok(Publishing::Forward { created_at, check: None });
    let Some(version) = PackageVersion::of(package) else { return forward(None) };
    let Some(live) = live else { return forward(Some(stamp.now)) };
    let Stored { meta, spec } = &*live.value;
    let current = PackageVersion::of(spec);
    if current.as_ref() == Some(&version) {
        unchanged(package, &version, spec)?;
        return forward(Some(meta.version_created_at.unwrap_or(meta.updated_at)));
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
    if let Some(published) = &published {
        unchanged(package, &version, &published.spec)?;
    }
    let Some(current) = current.filter(|current| !version.is_newer_than(current)) else {
        return forward(Some(published.map_or(stamp.now, |published| published.created_at)));
    };
    if push.verb == Verb::Restore {
        // Nobody publishes something else beside it in the meantime.
        let check = Some(Check { key: key.to_string(), precondition });
        let created_at = Some(published.map_or(stamp.now, |published| published.created_at));
        return Ok(Publishing::Forward { created_at, check });
    }
    let publication = published.is_none().then(|| {
        let stored = StoredVersion::new(meta.uid.clone(), stamp.now, package);
        Box::new(Publication { key, precondition, stored })
    });
    Ok(Publishing::Beside { publication, warning: stays(package, &version, &current) })
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

/// Refuses a push of something else than what is `published` under the same version.
fn unchanged(
    package: &OPackage,
    version: &PackageVersion,
    published: &OPackage,
) -> Result<(), Error> {
    if is_same_content(package, published) {
        return Ok(());
    }
    let what = format!("version {version} of package {}", package.name);
    // How the version is written is no part of its content.
    let content = |of: &OPackage| {
        let mut content = content(of);
        content.version = None;
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
    Err(Error::VersionExists { what, violations })
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
