//! The routes. Nothing else is decided here.

use std::sync::Arc;

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use oprc_models::{deployment::OClassDeployment, package::OPackage};

use crate::{
    ApiState,
    auth::{Doors, authenticate, authorize},
    call::App,
    door::{
        for_browsers,
        rate::{by_address, by_subject},
    },
    front::{Lanes, front},
    resources::{
        access, apply, bundles, clusters, deployments, packages, parts, probes, records, revisions,
        role_bindings, rollout, statuses, watch,
    },
};

/// The API over `state`, as a service.
pub fn router(state: ApiState) -> Router {
    let app = Arc::new(App::from(state));
    let lanes = Arc::new(Lanes::default());
    let front = from_fn_with_state((Arc::clone(&app), lanes), front);
    let api = specs().merge(history()).merge(observed()).merge(watched()).merge(access());
    let routes = Router::new().nest("/api/v1", api).merge(probes());
    let doors = Doors::new(Arc::clone(&app));
    let who = from_fn_with_state(Arc::clone(&doors), authenticate);
    let may = from_fn_with_state(doors, authorize);
    // The layers must be around the fallback too: an unknown route is answered like any other. The
    // last is the outermost.
    let routes = routes
        .fallback(|| async { http::StatusCode::NOT_FOUND })
        .layer(may)
        .layer(from_fn_with_state(Arc::clone(&app), by_subject))
        .layer(who)
        .layer(from_fn_with_state(Arc::clone(&app), by_address))
        .layer(front)
        .with_state(Arc::clone(&app));
    for_browsers(routes, &app.door)
}

/// What users write.
fn specs() -> Router<Arc<App>> {
    Router::new()
        .route("/packages", get(packages::list).post(packages::create))
        .route(
            "/packages/{name}",
            get(packages::get)
                .put(packages::replace)
                .post(packages::replace)
                .delete(packages::delete),
        )
        .route("/deployments", get(deployments::list).post(deployments::create))
        .route(
            "/deployments/{key}",
            get(deployments::get).put(deployments::replace).delete(deployments::delete),
        )
        .route("/apply", post(apply::apply))
        .route("/bundles", get(bundles::list))
        .route("/bundles/{name}", get(bundles::get))
        .route("/classes", get(parts::classes))
        .route("/functions", get(parts::functions))
}

/// What documents were, and what is asked of them beside their specs.
fn history() -> Router<Arc<App>> {
    type Package = OPackage;
    type Deployment = OClassDeployment;
    Router::new()
        .route("/packages/{name}/revisions", get(revisions::list::<Package>))
        .route("/packages/{name}/revisions/{generation}", get(revisions::get::<Package>))
        .route("/packages/{name}/revisions/{from}/diff/{to}", get(revisions::diff::<Package>))
        .route("/packages/{name}/rollback", post(revisions::rollback::<Package>))
        .route("/deployments/{key}/revisions", get(revisions::list::<Deployment>))
        .route("/deployments/{key}/revisions/{generation}", get(revisions::get::<Deployment>))
        .route("/deployments/{key}/revisions/{from}/diff/{to}", get(revisions::diff::<Deployment>))
        .route("/deployments/{key}/rollback", post(revisions::rollback::<Deployment>))
        .route("/deployments/{key}/pause", post(rollout::pause))
        .route("/deployments/{key}/resume", post(rollout::resume))
        .route("/deployments/{key}/restart", post(rollout::restart))
}

/// Who may do what.
fn access() -> Router<Arc<App>> {
    Router::new()
        .route("/whoami", get(access::whoami))
        .route("/can-i", get(access::can_i))
        .route("/role-bindings", get(role_bindings::list).post(role_bindings::create))
        .route(
            "/role-bindings/{name}",
            get(role_bindings::get).put(role_bindings::replace).delete(role_bindings::delete),
        )
}

/// What is reported.
fn observed() -> Router<Arc<App>> {
    Router::new()
        .route("/deployment-status/{id}", get(statuses::get))
        .route("/deployment-records", get(records::list))
        .route("/deployment-records/{id}", get(records::get))
        .route("/clusters", get(clusters::list))
        .route("/clusters/health", get(clusters::list_health))
        .route("/clusters/{name}", get(clusters::get).delete(clusters::delete))
        .route("/clusters/{name}/health", get(clusters::health))
}

/// What changes.
fn watched() -> Router<Arc<App>> {
    Router::new().route("/watch", get(watch::watch))
}

fn probes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(probes::live))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(probes::metrics))
}
