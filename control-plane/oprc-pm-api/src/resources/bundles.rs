//! `/api/v1/bundles`: what was pushed under a name. Written by pushes alone.

use std::hash::{DefaultHasher, Hash};

use axum::extract::{Path, State as Shared};
use oprc_controller_runtime::cache::{Entry, State};
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{bundle::Bundle, names::BundleName};

use super::{following, holds, missing};
use crate::{
    answer,
    auth::{Authority, Grants},
    call::{Answer, Call, SharedApp, consistency, name, tagged},
    error::ApiError,
    etag,
    list::{self, Item},
    splice::Object,
    writes::sees,
};

/// A bundle as it was looked up.
struct BundleRow {
    entry: Entry<Bundle>,
    /// What of it the caller sees, where that may be less than all.
    seen: Option<Seen>,
}

/// How much of a bundle its caller sees.
#[derive(Clone, Copy, Hash)]
struct Seen {
    n_packages: u64,
    n_deployments: u64,
}

/// The documents of the bundle `name` that the caller may know of.
fn visible<'s>(
    state: &'s State,
    grants: &'s Grants,
    name: &BundleName,
) -> impl Iterator<Item = &'s Key> {
    let owned = state.owned_by_bundle(name).iter();
    owned.filter(|key| sees(state, Authority::Of(grants), key))
}

impl BundleRow {
    /// The bundle, if the caller may know of it.
    fn new(state: &State, grants: &Grants, name: &BundleName) -> Option<Self> {
        let entry = state.bundles.get(name)?.clone();
        if grants.sees_all() {
            return Some(Self { entry, seen: None });
        }
        let mut seen = Seen { n_packages: 0, n_deployments: 0 };
        for key in visible(state, grants, name) {
            match key {
                Key::Package(_) => seen.n_packages += 1,
                _ => seen.n_deployments += 1,
            }
        }
        (seen.n_packages + seen.n_deployments > 0).then_some(Self { entry, seen: Some(seen) })
    }

    /// The bundle as it is told.
    fn value(&self) -> Bundle {
        let mut value = Bundle::clone(&self.entry.value);
        if let Some(Seen { n_packages, n_deployments }) = self.seen {
            (value.n_packages, value.n_deployments) = (n_packages, n_deployments);
        }
        value
    }
}

impl Item for BundleRow {
    fn names(&self) -> Vec<&str> {
        vec![self.entry.value.name.as_str()]
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (self.entry.value.name.as_str(), self.entry.revision, self.seen).hash(hasher);
    }
}

/// `GET /bundles/{name}`: with the documents that it owns.
pub(crate) async fn get(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    params.finish()?;
    let name: BundleName = name(&path_name)?;
    let is_stale = app.settle(consistency).await?;
    let found = {
        let state = app.cache.read();
        let key = Key::Bundle(name.clone());
        match BundleRow::new(&state, call.by.grants(), &name) {
            Some(row) => {
                Ok((row, visible(&state, call.by.grants(), &name).cloned().collect::<Vec<_>>()))
            }
            // What it owned is not known: who does not see all does not learn that it is there.
            None if !call.by.grants().sees_all() => {
                Err(ApiError::not_found("bundle", name.as_str()))
            }
            None => Err(missing(&state, &key, "bundle", name.as_str())),
        }
    };
    let (row, keys) = found?;
    let tag = etag::document(row.entry.revision, Some(digest(&keys)), false);
    tagged(&call.headers, &tag, is_stale, |buffer| {
        let mut object = Object::new(buffer);
        object.members(&row.value())?;
        object.field_with("documents", |buffer| {
            crate::splice::array(buffer, &keys, usize::MAX, |buffer, key| {
                let (kind, name) = answer::kind_and_name(key);
                let mut object = Object::new(buffer);
                object.field("kind", &kind)?;
                object.field("name", &name)?;
                object.end();
                Ok(())
            })
            .map(drop)
        })?;
        object.end();
        Ok(())
    })
}

/// A number that changes whenever `keys` do.
fn digest(keys: &[Key]) -> Revision {
    let mut hasher = DefaultHasher::new();
    keys.iter().for_each(|key| key.to_string().hash(&mut hasher));
    Revision(std::hash::Hasher::finish(&hasher))
}

/// `GET /bundles`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let part = params.text("name")?;
    let request = list::Request::new(&mut params, &("bundles", &part))?;
    params.finish()?;
    let grants = call.by.grants();
    let page = list::page(
        &app,
        &request,
        request.after_name::<BundleName>()?,
        |name| vec![name.as_str()],
        |key| matches!(key, Key::Bundle(_)) && grants.sees_all(),
        |state, after, limit, items| {
            let entries = following(&state.bundles, after);
            let pick = |(name, _): (&BundleName, &Entry<Bundle>)| {
                let is_asked_for = holds(name.as_str(), part.as_ref());
                is_asked_for.then(|| BundleRow::new(state, grants, name))?
            };
            list::take(entries, |(name, _)| name.clone(), items, limit, pick)
        },
    );
    page.await?.answer(&call.headers, |buffer, row| serde_json::to_writer(buffer, &row.value()))
}
