//! `…/revisions` and `…/rollback` of packages and deployments: what they were.
//!
//! The newest revision is the document itself, in the cache. What was before is read from the store
//! when it is asked for: the cache knows which generations there are, and no more.

use std::str::FromStr;

use axum::extract::{Path, State as Shared};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use oprc_controller_runtime::cache::{Archive, Entry, State};
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{
    deployment::OClassDeployment,
    difference,
    document::{self, Format, PackageDocument, Parsed},
    history as revision,
    meta::{Generation, Meta, Stored},
    names::{DeploymentKey, InvalidName, PackageName},
    package::OPackage,
    problem::Violation,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::missing;
use crate::{
    answer,
    auth::Grants,
    body,
    call::{Answer, App, Call, Consistency, IsStale, SharedApp, json, name, tagged},
    error::ApiError,
    etag,
    reading::IsCancelled,
    splice::Object,
    writes::{self, Push, Verb, Written},
};

/// Revisions of one document that are read at once.
const READS_AT_ONCE: usize = 4;

/// A kind of document whose revisions are kept.
pub(crate) trait Kept:
    Serialize + DeserializeOwned + PartialEq + Send + Sync + 'static
{
    /// What it goes by.
    type Name: FromStr<Err = InvalidName> + AsRef<str> + Ord + Clone + Send + Sync;
    /// What it is called.
    const WHAT: &'static str;
    /// Where the store keeps it.
    fn key(name: &Self::Name) -> Key;
    /// Where the store keeps what it was.
    fn revision(name: &Self::Name, generation: Generation) -> Key;
    /// The package that decides who sees it.
    fn package(&self) -> &PackageName;
    /// What it is.
    fn live<'s>(state: &'s State, name: &Self::Name) -> Option<&'s Entry<Stored<Self>>>;
    /// The field of the package that decides who sees it.
    const PACKAGE: &'static str;
    /// Which generations are archived.
    fn archive(state: &State) -> &Archive<Self::Name>;
    /// The spec in `text`, if it is still valid.
    fn parse(text: &[u8]) -> Result<Parsed<Self>, Vec<Violation>>;
    /// Pushes it.
    fn put(
        app: &App,
        push: &Push<'_, Self>,
    ) -> impl Future<Output = Result<Written, writes::Error>> + Send;
}

impl Kept for OPackage {
    type Name = PackageName;
    const WHAT: &'static str = "package";
    const PACKAGE: &'static str = "name";

    fn key(name: &PackageName) -> Key {
        Key::Package(name.clone())
    }

    fn revision(name: &PackageName, generation: Generation) -> Key {
        Key::PackageRevision(name.clone(), generation)
    }

    fn package(&self) -> &PackageName {
        &self.name
    }

    fn live<'s>(state: &'s State, name: &PackageName) -> Option<&'s Entry<Stored<Self>>> {
        state.packages.get(name)
    }

    fn archive(state: &State) -> &Archive<PackageName> {
        &state.package_revisions
    }

    fn parse(text: &[u8]) -> Result<Parsed<Self>, Vec<Violation>> {
        let Parsed { value, warnings } = document::package(text, Format::Json)?;
        match value {
            PackageDocument::Package(value) => Ok(Parsed { value, warnings }),
            PackageDocument::Deployments(_) => {
                Err(vec![Violation::new("", "this is a list of deployments, not a package")])
            }
        }
    }

    async fn put(app: &App, push: &Push<'_, Self>) -> Result<Written, writes::Error> {
        app.writes.put_package(push).await
    }
}

impl Kept for OClassDeployment {
    type Name = DeploymentKey;
    const WHAT: &'static str = "deployment";
    const PACKAGE: &'static str = "package_name";

    fn key(name: &DeploymentKey) -> Key {
        Key::Deployment(name.clone())
    }

    fn revision(name: &DeploymentKey, generation: Generation) -> Key {
        Key::DeploymentRevision(name.clone(), generation)
    }

    fn package(&self) -> &PackageName {
        &self.package_name
    }

    fn live<'s>(state: &'s State, name: &DeploymentKey) -> Option<&'s Entry<Stored<Self>>> {
        state.deployments.get(name)
    }

    fn archive(state: &State) -> &Archive<DeploymentKey> {
        &state.deployment_revisions
    }

    fn parse(text: &[u8]) -> Result<Parsed<Self>, Vec<Violation>> {
        document::deployment(text, Format::Json)
    }

    async fn put(app: &App, push: &Push<'_, Self>) -> Result<Written, writes::Error> {
        app.writes.put_deployment(push).await
    }
}

/// What is known of one document's revisions, at one moment.
struct History<'g, T: Kept> {
    /// What the caller may do.
    grants: &'g Grants,
    name: T::Name,
    live: Entry<Stored<T>>,
    /// The generations before, in order.
    archived: Vec<Generation>,
    /// When the newest of them was written.
    revision: Revision,
}

impl<'g, T: Kept> History<'g, T> {
    /// What the caller may not see is not there.
    async fn of(app: &App, grants: &'g Grants, path_name: &str) -> Result<Self, ApiError> {
        let name: T::Name = name(path_name)?;
        app.settle(Consistency::Linearizable).await?;
        let state = app.cache.read();
        let live = T::live(&state, &name).cloned();
        let live = live.filter(|live| grants.sees(live.value.spec.package()));
        let Some(live) = live else {
            if !grants.sees_all() {
                return Err(ApiError::not_found(T::WHAT, name.as_ref()));
            }
            return Err(missing(&state, &T::key(&name), T::WHAT, name.as_ref()));
        };
        let archived = T::archive(&state).get(&name);
        let newest = archived.and_then(|archived| archived.values().max().copied());
        // One that was archived early is still what the document is.
        let archived = archived.into_iter().flat_map(|archived| archived.keys().copied());
        let archived = archived.filter(|it| *it != live.value.meta.generation).collect();
        let revision = newest.unwrap_or_default().max(live.revision);
        Ok(Self { grants, name, live, archived, revision })
    }

    /// The stored text of what is archived under `generation`; none: it was trimmed by now.
    async fn read(&self, app: &App, generation: Generation) -> Result<Option<Bytes>, ApiError> {
        let key = T::revision(&self.name, generation).to_string();
        let stored = app.store.get(&key).await.map_err(writes::Error::from)?;
        Ok(stored.map(|stored| stored.value))
    }

    /// The document as it was at `generation`: of its spec, the text.
    async fn at(&self, app: &App, generation: Generation) -> Result<Stored<Value>, ApiError> {
        let Stored { meta, spec } = &*self.live.value;
        if meta.generation == generation {
            return Ok(Stored { meta: meta.clone(), spec: serde_json::to_value(spec)? });
        }
        let found = match self.archived.contains(&generation) {
            true => self.read(app, generation).await?,
            false => None,
        };
        let text = found.ok_or_else(|| self.not_kept(generation))?;
        let was: Stored<Value> = self.decode(generation, &text)?;
        if self.may_see(&was.spec) { Ok(was) } else { Err(self.not_kept(generation)) }
    }

    /// Returns `true` if the caller may see a generation with this spec: it may have been another
    /// package's.
    fn may_see(&self, spec: &Value) -> bool {
        let package = spec.get(T::PACKAGE).and_then(Value::as_str);
        let package = package.and_then(|package| package.parse::<PackageName>().ok());
        package.map_or_else(|| self.grants.sees_all(), |package| self.grants.sees(&package))
    }

    fn decode<S: DeserializeOwned>(
        &self,
        generation: Generation,
        text: &[u8],
    ) -> Result<S, ApiError> {
        let key = T::revision(&self.name, generation);
        serde_json::from_slice(text)
            .map_err(|error| ApiError::unreadable(&key.to_string(), &error.to_string()))
    }

    /// 404. A caller who sees every package is told what there is.
    fn not_kept(&self, generation: Generation) -> ApiError {
        let name = self.name.as_ref();
        let kept = if self.grants.sees_all() {
            let live = self.live.value.meta.generation;
            let kept: Vec<_> =
                self.archived.iter().chain([&live]).map(ToString::to_string).collect();
            format!("there are {}", kept.join(", "))
        } else {
            format!("/api/v1/{}s/{name}/revisions lists those that are", T::WHAT)
        };
        let detail = format!("generation {generation} of {} {name:?} is not kept; {kept}", T::WHAT);
        ApiError::new(StatusCode::NOT_FOUND, "revision_not_found", detail)
    }
}

/// `GET …/{name}/revisions`: the newest first.
pub(crate) async fn list<T: Kept>(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    call.params()?.finish()?;
    let history = History::<T>::of(&app, call.by.grants(), &path_name).await?;
    // What is trimmed makes no newer revision, and what is archived no fewer.
    let tag = |n_archived: usize| format!("\"{}.{n_archived}\"", history.revision);
    let sees_all = call.by.grants().sees_all();
    let all = tag(history.archived.len());
    if sees_all && etag::is_known(&call.headers, &all) {
        return tagged(&call.headers, &all, IsStale(false), |_| Ok(()));
    }
    let (app, kept) = (&*app, &history);
    let newest_first: Vec<Generation> = kept.archived.iter().rev().copied().collect();
    let reads = stream::iter(newest_first).map(|generation| async move {
        let Some(text) = kept.read(app, generation).await? else { return Ok(None) };
        let was: Stored<Value> = kept.decode(generation, &text)?;
        Ok::<_, ApiError>(kept.may_see(&was.spec).then_some(was.meta))
    });
    let metas: Vec<Option<Meta>> = reads.buffered(READS_AT_ONCE).try_collect().await?;
    // The number of all archived generations would tell of hidden ones.
    let tag = if sees_all { all } else { tag(metas.iter().flatten().count()) };
    let live = revision::Revision::new(history.live.value.meta.clone(), true);
    let before = metas.into_iter().flatten().map(|meta| revision::Revision::new(meta, false));
    let items: Vec<revision::Revision> = std::iter::once(live).chain(before).collect();
    tagged(&call.headers, &tag, IsStale(false), |buffer| {
        let mut object = Object::new(buffer);
        object.field("items", &items)?;
        object.field("revision", &history.revision)?;
        object.end();
        Ok(())
    })
}

/// `GET …/{name}/revisions/{generation}`: the document as it was.
pub(crate) async fn get<T: Kept>(
    Shared(app): SharedApp,
    Path((path_name, generation)): Path<(String, String)>,
    call: Call,
) -> Answer {
    call.params()?.finish()?;
    let generation = number(&generation)?;
    let history = History::<T>::of(&app, call.by.grants(), &path_name).await?;
    let Stored { meta, spec } = history.at(&app, generation).await?;
    let mut buffer = Vec::with_capacity(2048);
    let mut object = Object::new(&mut buffer);
    object.members(&spec)?;
    object.field("meta", &meta)?;
    object.field("current", &(generation == history.live.value.meta.generation))?;
    object.end();
    Ok(json(StatusCode::OK, buffer))
}

/// `GET …/{name}/revisions/{from}/diff/{to}`: what differs, field by field.
pub(crate) async fn diff<T: Kept>(
    Shared(app): SharedApp,
    Path((path_name, from, to)): Path<(String, String, String)>,
    call: Call,
) -> Answer {
    call.params()?.finish()?;
    let (from, to) = (number(&from)?, number(&to)?);
    let history = History::<T>::of(&app, call.by.grants(), &path_name).await?;
    let (old, new) = (history.at(&app, from).await?, history.at(&app, to).await?);
    let mut buffer = Vec::with_capacity(512);
    let mut object = Object::new(&mut buffer);
    object.field("from", &from)?;
    object.field("to", &to)?;
    object.members(&difference::between(&old.spec, &new.spec))?;
    object.end();
    Ok(json(StatusCode::OK, buffer))
}

/// The body of a rollback.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    generation: Generation,
}

/// `POST …/{name}/rollback`: what the document was, as a new generation of it.
pub(crate) async fn rollback<T: Kept>(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    mut call: Call,
) -> Answer {
    call.params()?.finish()?;
    let conditions = etag::conditions(&call.headers)?;
    let received = body::read(&app, &mut call, app.limits.max_body_bytes).await?;
    let by = call.by;
    let Rollback { generation } = app.readers.read(received, wanted).await??;
    let history = History::<T>::of(&app, by.grants(), &path_name).await?;
    let was = history.at(&app, generation).await?;
    let text = serde_json::to_vec(&was.spec)?;
    // The rules may have become stricter since.
    let parsed = T::parse(&text).map_err(|violations| {
        let detail = format!("generation {generation} is not valid any more");
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "revision_not_valid", detail)
            .with_errors(violations)
    })?;
    let note = format!("rollback to generation {generation}");
    let by = writes::Provenance { note: Some(&note), ..by.provenance() };
    let push = Push { spec: &parsed.value, verb: Verb::Restore, conditions: &conditions, by };
    let written = T::put(&app, &push).await?;
    answer::written(&written, parsed.warnings, &format!("/api/v1/{}s/{path_name}", T::WHAT))
}

fn wanted(
    bytes: &[u8],
    format: Format,
    is_cancelled: IsCancelled<'_>,
) -> Result<Rollback, ApiError> {
    let node =
        document::document(bytes, format, is_cancelled).map_err(ApiError::invalid_document)?;
    let refused = |error: serde_json::Error| {
        let detail = format!("want {{\"generation\": N}}: {error}");
        ApiError::bad_request("invalid_body", detail)
    };
    serde_json::from_value(node.to_json()).map_err(refused)
}

/// A generation out of the path.
fn number(text: &str) -> Result<Generation, ApiError> {
    text.parse().map_err(|_| {
        ApiError::bad_request("invalid_name", format!("in the path: {text:?} is not a generation"))
    })
}
