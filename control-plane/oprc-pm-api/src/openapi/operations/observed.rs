//! What is reported: statuses, records, clusters.

use oprc_models::{
    cluster::ClusterSpec,
    names::{ClusterName, DeploymentKey, PackageName, UnitId},
    schema::Schemas,
    view::{Cluster, ClusterHealth, DeploymentStatus, Event, Page, Record, Written},
};

use serde_json::json;

use super::{super::examples, DRY_RUN, Operation, refusals};

/// `GET /deployment-status/{id}`.
pub(crate) fn status(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<DeploymentStatus>();
    let about = "With the id of a unit, or with `cluster`, of that cluster alone. Where \
                 `observed_generation` is behind `generation`, it speaks of an earlier spec.";
    Operation::new("getDeploymentStatus", "observed", "How a deployment is")
        .about(about)
        .path::<DeploymentKey>(schemas, "id", "The deployment, or one of its units.", "shop.cart")
        .cluster(schemas)
        .reads()
        .answers(200, "The status.", schema, &examples::status())
}

/// `GET /deployment-records`.
pub(crate) fn records(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Record>>();
    Operation::new("listRecords", "observed", "List what clusters say that they hold")
        .cluster(schemas)
        .name::<DeploymentKey>(schemas, "deployment_key", "Only those of this deployment.")
        .watchable()
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::record()))
        .leads_to(&[200], "/items/0/id", &[("getRecord", "id"), ("getDeploymentStatus", "id")])
}

/// `GET /deployment-records/{id}`.
pub(crate) fn record(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Record>();
    Operation::new("getRecord", "observed", "What a cluster says that it holds for a unit")
        .path::<UnitId>(schemas, "id", "The unit.", "cart-4k9a2mz0qp")
        .cluster(schemas)
        .reads()
        .answers(200, "The record.", schema, &examples::record())
}

fn name(operation: Operation, schemas: &mut Schemas) -> Operation {
    operation.path::<ClusterName>(schemas, "name", "The cluster.", "prod-east")
}

/// `GET /clusters`.
pub(crate) fn clusters(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Cluster>>();
    let leads = [("getCluster", "name"), ("getClusterHealth", "name"), ("deleteCluster", "name")];
    Operation::new("listClusters", "clusters", "List clusters")
        .text("name", "Only those with this in their names.")
        .watchable()
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::cluster()))
        .leads_to(&[200], "/items/0/name", &leads)
}

/// `GET /clusters/{name}`.
pub(crate) fn cluster(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Cluster>();
    name(Operation::new("getCluster", "clusters", "Read a cluster's registration"), schemas)
        .reads()
        .answers(200, "The registration.", schema, &examples::cluster())
}

/// `GET /clusters/health`.
pub(crate) fn all_health(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<ClusterHealth>>();
    Operation::new("listClusterHealth", "clusters", "How all clusters are")
        .text("name", "Only those with this in their names.")
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::health()))
}

/// `GET /clusters/{name}/health`.
pub(crate) fn health(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<ClusterHealth>();
    name(Operation::new("getClusterHealth", "clusters", "How a cluster is"), schemas)
        .reads()
        .answers(200, "Its health.", schema, &examples::health())
}

/// `DELETE /clusters/{name}`.
pub(crate) fn delete(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Written<ClusterSpec>>();
    let about = "One that is configured in the environment is registered again at the next start.";
    name(Operation::new("deleteCluster", "clusters", "Remove a cluster's registration"), schemas)
        .about(about)
        .flag(
            "force",
            "Whether to remove it although something is left: of one that is not connected.",
        )
        .flag("dry_run", DRY_RUN)
        .writes()
        .refuses(refusals::IN_USE)
        .refuses(refusals::FORCED)
        .answers(200, "It was removed; this is what it was.", schema, &examples::written_cluster())
}

/// `GET /watch`.
pub(crate) fn watch(schemas: &mut Schemas) -> Operation {
    let about = "Server-sent events until the caller hangs up: `ADDED`, `MODIFIED` and `DELETED`, each with \
                 `{kind, key, revision, object}`; `BOOKMARK`, up to which all was told; `ERROR`, with a \
                 problem, at the end of a watch that is lost. Without `since` it begins with what there is.";
    let kinds = json!({ "type": "string" });
    Operation::new("watch", "observed", "What changes, as it changes")
        .about(about)
        .query(
            "kinds",
            kinds,
            "Some of `package`, `deployment`, `cluster`, `deployment-record`, with commas; all unless \
             given.",
        )
        .name::<PackageName>(schemas, "package", "Only the package, its deployments, their records.")
        .text("name", "Only those with this in their keys.")
        .watched()
        .current()
}

/// `GET /events`.
pub(crate) fn events(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Event>>();
    let about = "For people: one for each thing and reason, with a count and the newest message, kept \
                 for about an hour. Nothing rests on them, and they may be a second or two behind.";
    let pattern = "^(package|deployment|cluster)/.+$";
    Operation::new("listEvents", "observed", "What was decided and met with, and why")
        .about(about)
        .query(
            "about",
            json!({ "type": "string", "pattern": pattern }),
            "`KIND/NAME`: only what is about this package, deployment or cluster.",
        )
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::event()))
}
