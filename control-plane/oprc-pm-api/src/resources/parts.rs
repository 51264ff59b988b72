//! `/api/v1/classes` and `/functions`: across packages, each with its package.

use std::{
    hash::{DefaultHasher, Hash},
    marker::PhantomData,
    ops::Bound,
    sync::Arc,
};

use axum::extract::State as Shared;
use oprc_controller_runtime::cache::State;
use oprc_cp_storage::{Revision, keys::Key as StoreKey};
use oprc_models::{
    meta::Stored,
    names::{Key, PackageName},
    package::{OClass, OFunction, OPackage},
};
use serde::Serialize;

use super::{holds, visible};
use crate::{
    auth::Grants,
    call::{Answer, Call, SharedApp},
    list::{self, Chunk},
    splice::Object,
};

/// A class or a function, as a part of its package.
struct PartRow<P> {
    package: Arc<Stored<OPackage>>,
    revision: Revision,
    index: usize,
    kind: PhantomData<P>,
}

impl<P: Part> PartRow<P> {
    fn part(&self) -> Option<&P> {
        P::all(&self.package.spec).get(self.index)
    }
}

impl<P: Part> list::Item for PartRow<P> {
    fn names(&self) -> Vec<&str> {
        let key = self.part().map_or("", |part| part.key().as_str());
        vec![self.package.spec.name.as_str(), key]
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (&self.package.spec.name, self.revision, self.index).hash(hasher);
    }
}

/// The one of the two kinds of part that a list shows.
trait Part: Serialize + Sized + 'static {
    const KIND: &'static str;
    fn all(package: &OPackage) -> &[Self];
    fn key(&self) -> &Key;
}

impl Part for OClass {
    const KIND: &'static str = "classes";
    fn all(package: &OPackage) -> &[Self] {
        &package.classes
    }
    fn key(&self) -> &Key {
        &self.key
    }
}

impl Part for OFunction {
    const KIND: &'static str = "functions";
    fn all(package: &OPackage) -> &[Self] {
        &package.functions
    }
    fn key(&self) -> &Key {
        &self.key
    }
}

/// `GET /classes`.
pub(crate) async fn classes(app: SharedApp, call: Call) -> Answer {
    all::<OClass>(app, call).await
}

/// `GET /functions`.
pub(crate) async fn functions(app: SharedApp, call: Call) -> Answer {
    all::<OFunction>(app, call).await
}

/// A place in the list.
type Place = (PackageName, Key);

async fn all<P: Part>(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let package = params.get::<PackageName>("package_name")?;
    let part = params.text("name")?;
    let request = list::Request::new(&mut params, &(P::KIND, &package, &part))?;
    params.finish()?;
    let after = request.after::<2>()?.and_then(|[package, key]| {
        Some((package.parse::<PackageName>().ok()?, key.parse::<Key>().ok()?))
    });
    let grants = call.by.grants();
    let page = list::page(
        &app,
        &request,
        after,
        |(package, key): &Place| vec![package.as_str(), key.as_str()],
        |key| matches!(key, StoreKey::Package(_)) && visible::may_name(grants, key),
        |state, after, limit, items| {
            let filter = (package.as_ref(), part.as_ref());
            chunk::<P>(state, grants, filter, after, limit, items)
        },
    );
    page.await?.answer(&call.headers, |buffer, row: &PartRow<P>| {
        let mut object = Object::new(buffer);
        if let Some(part) = row.part() {
            object.members(part)?;
        }
        object.field("package_name", &row.package.spec.name)?;
        object.end();
        Ok(())
    })
}

fn chunk<P: Part>(
    state: &State,
    grants: &Grants,
    (package, part): (Option<&PackageName>, Option<&String>),
    after: Option<&Place>,
    limit: usize,
    items: &mut Vec<PartRow<P>>,
) -> Chunk<Place> {
    let from = package.or(after.map(|(package, _)| package));
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    let packages = grants.visible(&state.packages, from);
    let packages = packages.take_while(|(name, _)| package.is_none_or(|package| *name == package));
    let entries = packages.flat_map(|(name, entry)| {
        let after = after.filter(|(package, _)| package == name).map(|(_, key)| key);
        let parts = P::all(&entry.value.spec).iter().enumerate();
        let parts = parts.filter(|(_, part)| after.is_none_or(|after| part.key() > after));
        let mut parts: Vec<(usize, &P)> = parts.collect();
        // In the order of their keys, so that a place is one whatever the document's order.
        parts.sort_unstable_by_key(|(_, part)| part.key());
        parts.into_iter().map(move |(index, part)| (name, entry, index, part.key()))
    });
    let place = |(name, _, _, key): (&PackageName, _, _, &Key)| (name.clone(), key.clone());
    list::take(entries, place, items, limit, |(_, entry, index, key)| {
        holds(key.as_str(), part).then(|| PartRow {
            package: Arc::clone(&entry.value),
            revision: entry.revision,
            index,
            kind: PhantomData,
        })
    })
}
