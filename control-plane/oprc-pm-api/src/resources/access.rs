//! `/api/v1/whoami` and `/api/v1/can-i`: who the caller is to us, and what they may do.

use crate::{
    auth::{Grants, Identity, allows},
    call::{Answer, App, Call, SharedApp, json},
    error::ApiError,
};
use axum::extract::State as Shared;
use http::StatusCode;
use oprc_models::{
    access::{Grant, Verdict, WhoAmI},
    names::{DeploymentKey, PackageName, UnitId},
    role::{Kind, Pattern, Verb},
};

/// `GET /whoami`.
pub(crate) async fn whoami(Shared(app): SharedApp, call: Call) -> Answer {
    call.params()?.finish()?;
    wait_filled(&app)?;
    let anonymous = Identity::anonymous();
    let caller = call.by.caller().unwrap_or(&anonymous);
    let roles = call.by.grants().roles().map(|(role, packages)| Grant {
        role,
        packages: if packages.is_empty() { vec![Pattern::all()] } else { packages.to_vec() },
    });
    let who = WhoAmI {
        subject: caller.subject.to_string(),
        groups: caller.groups.iter().map(ToString::to_string).collect(),
        authenticated_by: caller.means.as_str().to_owned(),
        roles: roles.collect(),
    };
    Ok(json(StatusCode::OK, serde_json::to_vec(&who)?))
}

/// `GET /can-i?verb=&kind=&name=`, or `&package_name=` where the name is not a package's.
pub(crate) async fn can_i(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let verb = params.get::<Verb>("verb")?;
    let kind = params.get::<Kind>("kind")?;
    let name = params.text("name")?;
    let package = params.get::<PackageName>("package_name")?;
    params.finish()?;
    let (Some(verb), Some(kind)) = (verb, kind) else {
        let detail = "want verb and kind, for example ?verb=update&kind=packages&name=shop";
        return Err(ApiError::bad_request("invalid_parameter", detail));
    };
    wait_filled(&app)?;
    let package = match (package, name) {
        (Some(package), _) => Some(package),
        (None, Some(name)) => package_of(&app, call.by.grants(), kind, &name)?,
        (None, None) => None,
    };
    let verdict = match allows(call.by.grants(), (verb, kind), package.as_ref()) {
        Ok(()) => Verdict { allowed: true, reason: None },
        Err(missing) => Verdict { allowed: false, reason: Some(missing.to_string()) },
    };
    Ok(json(StatusCode::OK, serde_json::to_vec(&verdict)?))
}

/// The package that decides about `name`. What is not there is decided like what the caller may
/// not see: by whether they have the role anywhere.
fn package_of(
    app: &App,
    grants: &Grants,
    kind: Kind,
    name: &str,
) -> Result<Option<PackageName>, ApiError> {
    let state = app.cache.read();
    let deployment = |key: &DeploymentKey| {
        let package = &state.deployments.get(key)?.value.spec.package_name;
        grants.sees(package).then(|| package.clone())
    };
    Ok(match kind {
        Kind::Package => Some(crate::call::name(name)?),
        Kind::Deployment => deployment(&crate::call::name(name)?),
        Kind::Record => {
            let id: UnitId = crate::call::name(name)?;
            state.place_of_unit(&id).and_then(|(_, key)| deployment(key))
        }
        // Parts are told by `{package}` here: their keys are unique in it alone.
        Kind::Class | Kind::Function => name.parse().ok(),
        Kind::Cluster | Kind::Event | Kind::RoleBinding => None,
    })
}

/// Roles are not known before what is stored has been read.
fn wait_filled(app: &App) -> Result<(), ApiError> {
    if app.cache.position().revision.is_some() {
        return Ok(());
    }
    let detail = "starting: what is stored has not been read yet";
    Err(ApiError::unavailable("not_ready", detail))
}
