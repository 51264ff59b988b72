//! `/api/v1/role-bindings`: who may do what.

use axum::extract::{Path, State as Shared};
use oprc_controller_runtime::cache::{Entry, State};
use oprc_cp_storage::keys::Key;
use oprc_models::{document, meta::Stored, names::BindingName, role::RoleBinding};

use super::{
    Row, following, holds, missing,
    pushed::{Pushed, check_name},
};
use crate::{
    answer,
    call::{Answer, App, Call, SharedApp, consistency, name, tagged},
    etag, list,
    splice::Object,
    writes::{Removal, Verb},
};

/// A role binding as it is answered. It has no status: nothing is made of it.
type BindingRow = Row<RoleBinding, ()>;

/// `POST /role-bindings`.
pub(crate) async fn create(Shared(app): SharedApp, call: Call) -> Answer {
    push(&app, call, None, Verb::Create).await
}

/// `PUT /role-bindings/{name}`.
pub(crate) async fn replace(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    push(&app, call, Some(name(&path_name)?), Verb::Apply).await
}

async fn push(app: &App, call: Call, path_name: Option<BindingName>, verb: Verb) -> Answer {
    let pushed = Pushed::read(app, call, document::role_binding_node).await?;
    let spec = &pushed.document;
    pushed.by.intends(&Key::RoleBinding(spec.name.clone()));
    check_name(path_name.as_ref(), &spec.name, "/name")?;
    let written = app.writes.put_role_binding(&pushed.push(spec, verb)).await?;
    answer::written(&written, pushed.warnings, &format!("/api/v1/role-bindings/{}", spec.name))
}

/// `DELETE /role-bindings/{name}`.
pub(crate) async fn delete(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let is_dry_run = params.flag("dry_run")?;
    params.finish()?;
    let conditions = etag::conditions(&call.headers)?;
    let removal = Removal { conditions: &conditions, by: call.by.provenance(), is_dry_run };
    let written = app.writes.delete_role_binding(&name(&path_name)?, &removal).await?;
    answer::removed(&written, is_dry_run)
}

/// `GET /role-bindings/{name}`.
pub(crate) async fn get(
    Shared(app): SharedApp,
    Path(path_name): Path<String>,
    call: Call,
) -> Answer {
    let mut params = call.params()?;
    let consistency = consistency(&mut params)?;
    params.finish()?;
    let name: BindingName = name(&path_name)?;
    let is_stale = app.settle(consistency).await?;
    let found = {
        let state = app.cache.read();
        state.role_bindings.get(&name).map(row).ok_or_else(|| {
            let key = Key::RoleBinding(name.clone());
            missing(&state, &key, "role binding", name.as_str())
        })
    };
    let row = found?;
    tagged(&call.headers, &row.tag(), is_stale, |buffer| write(buffer, &row))
}

fn row(entry: &Entry<Stored<RoleBinding>>) -> BindingRow {
    Row { entry: entry.clone(), status: None, is_stale: false }
}

fn write(buffer: &mut Vec<u8>, row: &BindingRow) -> Result<(), serde_json::Error> {
    let Stored { meta, spec } = &*row.entry.value;
    let mut object = Object::new(buffer);
    object.members(spec)?;
    answer::meta(&mut object, meta, row.entry.revision)?;
    object.end();
    Ok(())
}

/// `GET /role-bindings`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let part = params.text("name")?;
    let subject = params.text("subject")?;
    let group = params.text("group")?;
    let request = list::Request::new(&mut params, &("role-bindings", &part, &subject, &group))?;
    params.finish()?;
    let is_wanted = |binding: &RoleBinding| {
        holds(binding.name.as_str(), part.as_ref())
            && subject.as_ref().is_none_or(|subject| binding.subjects.contains(subject))
            && group.as_ref().is_none_or(|group| binding.groups.contains(group))
    };
    let page = list::page(
        &app,
        &request,
        request.after_name::<BindingName>()?,
        |name| vec![name.as_str()],
        |key| matches!(key, Key::RoleBinding(_)),
        |state: &State, after, limit, items| {
            let entries = following(&state.role_bindings, after);
            list::take(
                entries,
                |(name, _)| name.clone(),
                items,
                limit,
                |(_, entry)| is_wanted(&entry.value.spec).then(|| row(entry)),
            )
        },
    );
    page.await?.answer(&call.headers, write)
}
