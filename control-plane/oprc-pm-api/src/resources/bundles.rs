//! `/api/v1/bundles`: what was pushed under a name. Written by pushes alone.

use std::hash::{DefaultHasher, Hash};

use axum::extract::{Path, State as Shared};
use oprc_controller_runtime::cache::{Entry, State};
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{bundle::Bundle, names::BundleName};

use super::{following, holds, missing};
use crate::{
    answer,
    auth::Grants,
    call::{Answer, Call, SharedApp, consistency, name, tagged},
    etag,
    list::{self, Item},
    splice::Object,
};

/// A bundle as it was looked up.
struct BundleRow {
    entry: Entry<Bundle>,
}

impl Item for BundleRow {
    fn names(&self) -> Vec<&str> {
        vec![self.entry.value.name.as_str()]
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (self.entry.value.name.as_str(), self.entry.revision).hash(hasher);
    }
}

fn write(buffer: &mut Vec<u8>, row: &BundleRow) -> Result<(), serde_json::Error> {
    serde_json::to_writer(buffer, &*row.entry.value)
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
        match state.bundles.get(&name) {
            Some(entry) => Ok((entry.clone(), newest(&state, call.by.grants(), &name))),
            None => Err(missing(&state, &Key::Bundle(name.clone()), "bundle", name.as_str())),
        }
    };
    let (entry, (keys, newest)) = found?;
    let tag = etag::document(entry.revision, Some(newest), false);
    tagged(&call.headers, &tag, is_stale, |buffer| {
        let mut object = Object::new(buffer);
        object.members(&*entry.value)?;
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

/// What `bundle` owns of what the caller may see, and a number that changes whenever that does.
fn newest(state: &State, grants: &Grants, bundle: &BundleName) -> (Vec<Key>, Revision) {
    let is_seen = |key: &&Key| match key {
        Key::Package(name) => grants.sees(name),
        Key::Deployment(key) => {
            let found = state.deployments.get(key);
            found.is_some_and(|entry| grants.sees(&entry.value.spec.package_name))
        }
        _ => grants.sees_all(),
    };
    let keys: Vec<Key> = state.owned_by_bundle(bundle).iter().filter(is_seen).cloned().collect();
    let mut hasher = DefaultHasher::new();
    keys.iter().for_each(|key| key.to_string().hash(&mut hasher));
    (keys, Revision(std::hash::Hasher::finish(&hasher)))
}

/// `GET /bundles`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let part = params.text("name")?;
    let request = list::Request::new(&mut params, &("bundles", &part))?;
    params.finish()?;
    let page = list::page(
        &app,
        &request,
        request.after_name::<BundleName>()?,
        |name| vec![name.as_str()],
        |key| matches!(key, Key::Bundle(_)),
        |state, after, limit, items| {
            let entries = following(&state.bundles, after);
            let pick = |(name, entry): (&BundleName, &Entry<Bundle>)| {
                holds(name.as_str(), part.as_ref()).then(|| BundleRow { entry: entry.clone() })
            };
            list::take(entries, |(name, _)| name.clone(), items, limit, pick)
        },
    );
    page.await?.answer(&call.headers, write)
}
