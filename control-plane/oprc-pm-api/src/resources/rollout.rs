//! `POST /api/v1/deployments/{key}/pause`, `…/resume` and `…/restart`.

use axum::extract::{Path, State as Shared};

use crate::{
    answer,
    call::{Answer, App, Call, SharedApp, name},
    etag,
    writes::{Ask, Removal},
};

/// `POST …/pause`: nothing of it is sent to any cluster.
pub(crate) async fn pause(
    Shared(app): SharedApp,
    Path(path_key): Path<String>,
    call: Call,
) -> Answer {
    ask(&app, &path_key, call, Ask::Pause).await
}

/// `POST …/resume`: what there is to send is sent.
pub(crate) async fn resume(
    Shared(app): SharedApp,
    Path(path_key): Path<String>,
    call: Call,
) -> Answer {
    ask(&app, &path_key, call, Ask::Resume).await
}

/// `POST …/restart`: every cluster replaces it by the same.
pub(crate) async fn restart(
    Shared(app): SharedApp,
    Path(path_key): Path<String>,
    call: Call,
) -> Answer {
    ask(&app, &path_key, call, Ask::Restart).await
}

async fn ask(app: &App, path_key: &str, call: Call, ask: Ask) -> Answer {
    call.params()?.finish()?;
    let conditions = etag::conditions(&call.headers)?;
    let by = call.by;
    let request = Removal { conditions: &conditions, by: by.provenance(), is_dry_run: false };
    let written = app.writes.ask_deployment(&name(path_key)?, ask, &request).await?;
    answer::written(&written, Vec::new(), "")
}
