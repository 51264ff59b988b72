//! The two questions that every request is asked: who are you, and may you use this route?
//!
//! They are layers of their own, so that what counts requests by who makes them stands in between.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use metrics::counter;
use oprc_models::role::{Kind, Verb};

use super::{
    Access, Guard,
    grants::{Grants, Missing},
    identity::{Identity, Means},
    routes::{Found, Need, Routes},
    seen, token,
};
use crate::{
    call::{App, By, Subject},
    error::ApiError,
    peer::Peer,
};

/// A request's caller; among the extensions like its correlation id.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Arc<Identity>);

/// What the request's caller may do; among the extensions too.
#[derive(Clone, Debug)]
pub(crate) struct Granted(pub(crate) Arc<Grants>);

/// What both layers stand on.
pub(crate) struct Doors {
    app: Arc<App>,
    routes: Routes,
    anonymous: (Arc<Identity>, Arc<Grants>),
}

impl Doors {
    pub(crate) fn new(app: Arc<App>) -> Arc<Self> {
        let anonymous = (Arc::new(Identity::anonymous()), Arc::new(Grants::everything()));
        Arc::new(Self { app, routes: Routes::new(), anonymous })
    }

    /// What the request's route needs. A route that does not exist needs an identity: who does
    /// not say who they are learns not even that.
    fn need(&self, request: &Request) -> Result<Need, Box<Response>> {
        let Some(route) = request.extensions().get::<MatchedPath>() else {
            return Ok(Need::Identity);
        };
        match self.routes.find(route.as_str(), request.method()) {
            Found::Need(Need::Metrics) if self.app.access.has_open_metrics() => Ok(Need::Nothing),
            Found::Need(Need::Metrics) => Ok(Need::Identity),
            Found::Need(need) => Ok(need),
            Found::OtherMethods(methods) => {
                let mut allowed: Vec<&str> = Vec::new();
                let names = methods.iter().map(|(does, _)| does.method());
                for name in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                    let like = if name == "HEAD" { "GET" } else { name };
                    allowed.extend(names.clone().any(|method| method == like).then_some(name));
                }
                let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
                let allowed = HeaderValue::from_str(&allowed.join(",")).ok();
                response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
                Err(Box::new(response))
            }
            Found::NotListed => {
                let detail = "nobody may use this route: the table of routes does not have it";
                Err(Box::new(ApiError::forbidden(detail).into_response()))
            }
        }
    }
}

/// Asks who calls: 401 where the request does not say so and has to.
pub(crate) async fn authenticate(
    State(doors): State<Arc<Doors>>,
    mut request: Request,
    next: Next,
) -> Response {
    let identity = match &doors.app.access {
        Access::Open => Arc::clone(&doors.anonymous.0),
        Access::Guarded(guard) => match identify(&doors.app, guard, &request) {
            Ok(identity) => identity,
            // Probes are answered whatever the caller brings.
            Err(_) if matches!(doors.need(&request), Ok(Need::Nothing)) => {
                return next.run(request).await;
            }
            Err(refusal) => return *refusal,
        },
    };
    if identity.means != Means::Anonymous {
        request.extensions_mut().insert(Subject(Arc::clone(&identity.subject)));
    }
    request.extensions_mut().insert(Caller(identity));
    next.run(request).await
}

/// Asks whether the caller may use the route: 403 where no role of theirs permits it anywhere.
pub(crate) async fn authorize(
    State(doors): State<Arc<Doors>>,
    mut request: Request,
    next: Next,
) -> Response {
    let need = match doors.need(&request) {
        Ok(need) => need,
        Err(refusal) => return *refusal,
    };
    let grants = match (&doors.app.access, request.extensions().get::<Caller>()) {
        (_, None) if need == Need::Nothing => return next.run(request).await,
        (_, None) => return unauthorized(None),
        (Access::Open, Some(_)) => Arc::clone(&doors.anonymous.1),
        (Access::Guarded(guard), Some(Caller(identity))) => {
            Arc::new(granted(&doors.app, guard, identity))
        }
    };
    let permitted = match need {
        Need::Nothing | Need::Metrics | Need::Identity => Ok(()),
        Need::Role(verb, kind) => grants.require_somewhere(verb, kind),
        Need::Either(verb, kinds) => {
            let [first, second] = kinds.map(|kind| grants.require_somewhere(verb, kind));
            second.or(first)
        }
    };
    if let Err(missing) = permitted {
        // Without what is stored it is not known what anybody may do.
        if doors.app.cache.position().revision.is_none() {
            let detail = "starting: what is stored has not been read yet";
            return ApiError::unavailable("not_ready", detail).into_response();
        }
        return ApiError::from(missing).into_response();
    }
    request.extensions_mut().insert(Granted(grants));
    next.run(request).await
}

/// What `identity` may do now.
fn granted(app: &App, guard: &Guard, identity: &Identity) -> Grants {
    let is_admin = guard.admins.contains(&*identity.subject)
        || identity.groups.iter().any(|group| guard.admin_groups.contains(&**group));
    if is_admin {
        return Grants::everything();
    }
    let state = app.cache.read();
    let groups = identity.groups.iter().map(|group| &**group);
    Grants::of(state.bindings_of(&identity.subject, identity.means.subject_kind(), groups))
}

/// Whether what `by` was told they may do is still so: for answers that have no end.
pub(crate) fn is_unchanged(app: &App, by: &By) -> bool {
    let (Access::Guarded(guard), Some(identity)) = (&app.access, by.caller()) else { return true };
    let is_valid = identity.until.is_none_or(|(until, version)| {
        version == guard.keys.version() && (app.now)().as_second() < until
    });
    is_valid && granted(app, guard, identity) == *by.grants()
}

/// Who calls; the refusal otherwise.
fn identify(app: &App, guard: &Guard, request: &Request) -> Result<Arc<Identity>, Box<Response>> {
    let peer = request.extensions().get::<Peer>();
    let certificate = peer.and_then(|peer| peer.certificate_subject.as_ref());
    match (bearer(request.headers()), certificate) {
        (Some(Ok(token)), _) => by_token(app, guard, token),
        (Some(Err(())), _) => {
            Err(Box::new(unauthorized(Some("want `Authorization: Bearer` and a token, once"))))
        }
        (None, Some(subject)) => Ok(Arc::new(Identity {
            subject: Arc::clone(subject),
            groups: Arc::default(),
            means: Means::Certificate,
            until: None,
        })),
        (None, None) => Err(Box::new(unauthorized(None))),
    }
}

fn by_token(app: &App, guard: &Guard, token: &str) -> Result<Arc<Identity>, Box<Response>> {
    let now = (app.now)().as_second();
    let digest = seen::digest(token);
    if let Some(identity) = guard.seen.get(&digest, guard.keys.version(), now) {
        return Ok(identity);
    }
    let Some(held) = guard.keys.held() else {
        let detail = "starting: the keys that tokens are checked with are not here yet";
        return Err(Box::new(ApiError::unavailable("not_ready", detail).into_response()));
    };
    match token::check(token, &held.keys, &guard.rules, now) {
        Ok(believed) => {
            counter!("oprc_pm_auth_tokens_total", "outcome" => "accepted").increment(1);
            Ok(guard.seen.put(digest, held.version, believed))
        }
        Err(refusal) => {
            if matches!(refusal, token::Refusal::UnknownKey | token::Refusal::Signature) {
                guard.keys.tell_missing();
            }
            counter!("oprc_pm_auth_tokens_total", "outcome" => "refused").increment(1);
            Err(Box::new(unauthorized(Some(&refusal.to_string()))))
        }
    }
}

/// The bearer token; an error where there is another kind of credential, or more than one.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, ()>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(()));
    }
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(token.map(|(_, token)| token.trim()).filter(|token| !token.is_empty()).ok_or(()))
}

/// 401: why what was brought is not believed; none: nothing was brought. The texts are ours.
fn unauthorized(why: Option<&str>) -> Response {
    let (challenge, detail) = match why {
        None => (
            r#"Bearer realm="oprc-pm""#.to_owned(),
            "want `Authorization: Bearer` and a token".to_owned(),
        ),
        Some(why) => {
            let told = why.replace('`', "'");
            let error = r#"error="invalid_token""#;
            let challenge =
                format!(r#"Bearer realm="oprc-pm", {error}, error_description="{told}""#);
            (challenge, why.to_owned())
        }
    };
    let mut response =
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response();
    let challenge = HeaderValue::from_str(&challenge).ok();
    response.headers_mut().extend(challenge.map(|value| (header::WWW_AUTHENTICATE, value)));
    response
}

/// Whether `grants` permit what a `can-i` asks.
pub(crate) fn allows(
    grants: &Grants,
    (verb, kind): (Verb, Kind),
    package: Option<&oprc_models::names::PackageName>,
) -> Result<(), Missing> {
    match package {
        Some(package) if kind.is_of_package() => grants.require(verb, kind, package),
        _ => grants.require_somewhere(verb, kind),
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        "oprc_pm_auth_tokens_total",
        "Tokens whose signature and claims were checked, by outcome; those known already aside"
    );
}
