//! The routes, each with the handler that serves it and the description of what it does. Nothing else
//! is decided here.

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use oprc_models::{deployment::OClassDeployment, package::OPackage};

use crate::{
    ApiState,
    auth::{Doors, authenticate, authorize},
    call::App,
    door::{
        for_browsers,
        rate::{by_address, by_subject},
        site::from_here,
    },
    front::{Lanes, front},
    openapi::{operations as described, routes::Routes},
    resources::{
        access, apply, bundles, clusters, deployments, events, packages, parts, probes, records,
        revisions, role_bindings, rollout, statuses, versions, watch,
    },
};

/// The API over `state`, as a service.
pub fn router(state: ApiState) -> Router {
    let app = Arc::new(App::from(state));
    let lanes = Arc::new(Lanes::new(&app.limits));
    let front = from_fn_with_state((Arc::clone(&app), lanes), front);
    let doors = Doors::new(Arc::clone(&app));
    let who = from_fn_with_state(Arc::clone(&doors), authenticate);
    let may = from_fn_with_state(doors, authorize);
    // The layers must be around the fallback too: an unknown route is answered like any other. The
    // last is the outermost.
    let routes = routes()
        .into_router()
        .fallback(|| async { http::StatusCode::NOT_FOUND })
        .layer(may)
        .layer(from_fn_with_state(Arc::clone(&app), by_subject))
        .layer(who)
        .layer(from_fn_with_state(Arc::clone(&app), from_here))
        .layer(from_fn_with_state(Arc::clone(&app), by_address))
        .layer(front)
        .with_state(Arc::clone(&app));
    for_browsers(routes, &app.door)
}

/// All routes but those that tell of them.
pub(crate) fn routes() -> Routes {
    specs().merge(history()).merge(observed()).merge(access()).below("/api/v1").merge(process())
}

/// What users write.
fn specs() -> Routes {
    use described::{
        bundles as of_bundles, deployments as of_deployments, packages as of_packages,
    };
    Routes::default()
        .get("/packages", packages::list, of_packages::list)
        .post("/packages", packages::create, of_packages::create)
        .get("/packages/{name}", packages::get, of_packages::get)
        .put("/packages/{name}", packages::replace, of_packages::replace)
        .post("/packages/{name}", packages::replace, of_packages::replace_by_post)
        .delete("/packages/{name}", packages::delete, of_packages::delete)
        .get("/packages/{name}/versions", versions::list, of_packages::versions)
        .get("/deployments", deployments::list, of_deployments::list)
        .post("/deployments", deployments::create, of_deployments::create)
        .get("/deployments/{key}", deployments::get, of_deployments::get)
        .put("/deployments/{key}", deployments::replace, of_deployments::replace)
        .delete("/deployments/{key}", deployments::delete, of_deployments::delete)
        .post("/apply", apply::apply, of_bundles::apply)
        .get("/bundles", bundles::list, of_bundles::list)
        .get("/bundles/{name}", bundles::get, of_bundles::get)
        .get("/classes", parts::classes, of_packages::classes)
        .get("/functions", parts::functions, of_packages::functions)
}

/// What documents were, and what is asked of them beside their specs.
fn history() -> Routes {
    use described::{
        deployments as of_deployments,
        history::{diff, list, revision, rollback},
    };
    use revisions as r;
    type Package = OPackage;
    type Deployment = OClassDeployment;
    let (package, deployment) = ("/packages/{name}", "/deployments/{key}");
    let at = |of: &str, rest: &str| format!("{of}{rest}");
    let (one, two) = ("/revisions/{generation}", "/revisions/{from}/diff/{to}");
    Routes::default()
        .get(&at(package, "/revisions"), r::list::<Package>, list::<Package>)
        .get(&at(package, one), r::get::<Package>, revision::<Package>)
        .get(&at(package, two), r::diff::<Package>, diff::<Package>)
        .post(&at(package, "/rollback"), r::rollback::<Package>, rollback::<Package>)
        .get(&at(deployment, "/revisions"), r::list::<Deployment>, list::<Deployment>)
        .get(&at(deployment, one), r::get::<Deployment>, revision::<Deployment>)
        .get(&at(deployment, two), r::diff::<Deployment>, diff::<Deployment>)
        .post(&at(deployment, "/rollback"), r::rollback::<Deployment>, rollback::<Deployment>)
        .post(&at(deployment, "/pause"), rollout::pause, of_deployments::pause)
        .post(&at(deployment, "/resume"), rollout::resume, of_deployments::resume)
        .post(&at(deployment, "/restart"), rollout::restart, of_deployments::restart)
}

/// What is reported.
fn observed() -> Routes {
    use described::observed as of;
    Routes::default()
        .get("/deployment-status/{id}", statuses::get, of::status)
        .get("/deployment-records", records::list, of::records)
        .get("/deployment-records/{id}", records::get, of::record)
        .get("/clusters", clusters::list, of::clusters)
        .get("/clusters/health", clusters::list_health, of::all_health)
        .get("/clusters/{name}", clusters::get, of::cluster)
        .delete("/clusters/{name}", clusters::delete, of::delete)
        .get("/clusters/{name}/health", clusters::health, of::health)
        .get("/watch", watch::watch, of::watch)
        .get("/events", events::list, of::events)
}

/// Who may do what.
fn access() -> Routes {
    use described::access as of;
    Routes::default()
        .get("/whoami", access::whoami, of::whoami)
        .get("/can-i", access::can_i, of::can_i)
        .get("/role-bindings", role_bindings::list, of::list)
        .post("/role-bindings", role_bindings::create, of::create)
        .get("/role-bindings/{name}", role_bindings::get, of::get)
        .put("/role-bindings/{name}", role_bindings::replace, of::replace)
        .delete("/role-bindings/{name}", role_bindings::delete, of::delete)
}

/// What tells of the process.
fn process() -> Routes {
    use described::probes as of;
    Routes::default()
        .get("/healthz", probes::live, of::healthz)
        .get("/livez", probes::live, of::livez)
        .get("/readyz", probes::ready, of::readyz)
        .get("/metrics", probes::metrics, of::metrics)
}
