//! Reconciles one package: reads the cache, resolves its dependencies, writes its status; removes
//! it once its deletion was asked for and nothing depends on it.

use std::cmp::Reverse;

use oprc_controller_runtime::{
    cache::{Entry, PackedVersion, State},
    controller::Requeue,
};
use oprc_cp_storage::{Check, Revision, Write, keys::Key};
use oprc_models::{
    condition::{Truth, find},
    event::{About, Severity},
    meta::Stored,
    names::PackageName,
    package::OPackage,
    status::PackageStatus,
    version::PackageVersion,
};
use tracing::Span;

use crate::{
    context::{Context, as_it_was, put, remove, require_readable, trim},
    error::Error,
    events::Subject,
    view::View,
};

/// Reconciles the package `name` once.
///
/// # Errors
///
/// [`Error`]; in each case the next pass reads everything again.
pub(crate) async fn reconcile(context: &Context, name: &PackageName) -> Result<Requeue, Error> {
    let subject = Subject::from(About::Package(name.clone())).shown_by(&context.cache.read());
    if let Some(correlation_id) = subject.correlation_id() {
        Span::current().record("correlation_id", correlation_id);
    }
    let Decided { basis, writes, news } = decide(context, name)?;
    for chunk in context.chunks(writes) {
        context.commit_on(&basis, chunk).await?;
    }
    if let Some(News { severity, reason, message }) = news {
        context.recorder.note(subject, severity, &reason, || message);
    }
    Ok(Requeue::AwaitChange)
}

/// What is to be written.
struct Decided {
    /// What must still be so.
    basis: Vec<Check>,
    /// The package itself after what is kept beside it.
    writes: Vec<Write>,
    /// What people may want to know once it is written.
    news: Option<News>,
}

/// What there is to tell of a package.
struct News {
    severity: Severity,
    reason: String,
    message: String,
}

impl News {
    /// What of the status `new` of `package` was not said `before`: what it says of its readiness.
    fn of(package: &OPackage, before: Option<&PackageStatus>, new: &PackageStatus) -> Option<Self> {
        let ready = |status: &PackageStatus| find(&status.conditions, "Ready").cloned();
        let (before, new) = (before.and_then(ready), ready(new)?);
        let told = before.as_ref().map(|before| (&before.reason, &before.message));
        // That a package which needs nothing has all that it needs is no news.
        let is_news = match told {
            Some(told) => told != (&new.reason, &new.message),
            None => new.status != Truth::True || !package.dependencies.is_empty(),
        };
        let is_bad = new.status != Truth::True && new.reason != "Deleting";
        let severity = if is_bad { Severity::Warning } else { Severity::Normal };
        is_news.then_some(Self { severity, reason: new.reason, message: new.message })
    }
}

impl Decided {
    /// The removal of what `writes` remove of the package `name`, which was last written at `at`.
    ///
    /// Whoever takes up a package that is on its way out keeps its history.
    fn removal(name: &PackageName, at: Option<Revision>, writes: Vec<Write>) -> Self {
        let key = Key::Package(name.clone()).to_string();
        Self { basis: vec![Check { key, precondition: as_it_was(at) }], writes, news: None }
    }
}

fn decide(context: &Context, name: &PackageName) -> Result<Decided, Error> {
    let state = context.cache.read();
    let (key, status_key) = (Key::Package(name.clone()), Key::PackageStatus(name.clone()));
    require_readable(&state, |unreadable| *unreadable == key || *unreadable == status_key)?;
    let status = state.package_statuses.get(name);
    let removed_status = status.map(|entry| remove(&status_key, entry.revision));
    let trimmed = |limit| {
        let archived = state.package_revisions.get(name);
        trim(archived, limit, |generation| Key::PackageRevision(name.clone(), generation))
    };
    // A push may be about to make it anew; what comes of that is told.
    let is_staged = state.intent(&key).is_some();
    let nothing = || Decided { basis: Vec::new(), writes: Vec::new(), news: None };
    let Some(package) = state.packages.get(name) else {
        if is_staged {
            return Ok(nothing());
        }
        let kept_beside = trimmed(0).into_iter().chain(unpublished(&state, name, None, 0));
        let writes = kept_beside.chain(removed_status).collect();
        return Ok(Decided::removal(name, None, writes));
    };
    let is_needed = !state.deployments_of_package(name).is_empty()
        || state.dependants_of_package(name).iter().any(|dependant| dependant != name);
    if package.value.meta.is_deleting() && !is_needed {
        // A deployment whose spec cannot be read may be one of its classes', and a package that
        // cannot be read may depend on it.
        require_readable(&state, |key| matches!(key, Key::Deployment(_) | Key::Package(_)))?;
        if is_staged {
            return Ok(nothing());
        }
        tracing::info!(package = %name, "nothing depends on it; removing it");
        let removed = remove(&key, package.revision);
        let kept_beside = trimmed(0).into_iter().chain(unpublished(&state, name, None, 0));
        let writes = kept_beside.chain(removed_status).chain([removed]).collect();
        let (reason, message) = ("Deleted".to_owned(), "nothing depends on it".to_owned());
        let news = Some(News { severity: Severity::Normal, reason, message });
        return Ok(Decided { news, ..Decided::removal(name, Some(package.revision), writes) });
    }
    let new = oprc_planning::package::status(
        &package.value,
        status.map(|entry| &*entry.value),
        &View { state: &state, default_cluster: None },
        (context.now)(),
    );
    let mut writes = trimmed(context.history_limit);
    writes.extend(unpublished(&state, name, Some(&package.value), context.version_limit));
    let news = News::of(&package.value.spec, status.map(|entry| &*entry.value), &new);
    if status.is_none_or(|entry| *entry.value != new) {
        writes.push(put(&status_key, status.map(|entry| entry.revision), &new)?);
    }
    Ok(Decided { basis: Vec::new(), writes, news })
}

/// Removals of what is published of the package beside what it is: of other incarnations than the
/// `live` one all, of its own those that nothing resolves to, but for the last `limit`.
///
/// The last are those that were archived last: one that is published beside a newer one, late, is no
/// less new for being lower. No clock is asked; the store's revisions tell.
fn unpublished(
    state: &State,
    name: &PackageName,
    live: Option<&Stored<OPackage>>,
    limit: usize,
) -> Vec<Write> {
    let Some(versions) = state.package_versions.get(name) else { return Vec::new() };
    let removal = |version: &PackageVersion, revision| {
        remove(&Key::PackageVersion(name.clone(), version.clone()), revision)
    };
    let uid = live.map(|live| live.meta.uid.as_str());
    let is_own = |(_, entry): &(_, &Entry<PackedVersion>)| Some(&*entry.value.uid) == uid;
    let (mut own, others): (Vec<_>, Vec<_>) = versions.iter().partition(is_own);
    let others = others.into_iter().map(|(version, entry)| removal(version, entry.revision));
    let mut writes: Vec<Write> = others.collect();
    if own.len() > limit {
        own.sort_unstable_by_key(|(_, entry)| Reverse(entry.revision));
        let in_use = state.versions_in_use(name);
        let now = live.and_then(|live| PackageVersion::of(&live.spec));
        let old = own.into_iter().skip(limit);
        let old =
            old.filter(|(version, _)| !in_use.contains(*version) && now.as_ref() != Some(version));
        writes.extend(old.map(|(version, entry)| removal(version, entry.revision)));
    }
    writes
}
