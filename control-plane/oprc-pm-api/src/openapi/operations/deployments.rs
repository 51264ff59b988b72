//! Deployments.

use oprc_models::{
    deployment::OClassDeployment,
    names::{BundleName, ClusterName, DeploymentKey, Key, PackageName},
    record::RunCondition,
    schema::Schemas,
    view::{Deployment, Page, Written},
};

use super::{super::examples, DRY_RUN, LABEL, Operation, pushed, refusals};

/// The operations that a deployment's key leads to.
const LEADS: &[(&str, &str)] = &[
    ("getDeployment", "key"),
    ("replaceDeployment", "key"),
    ("deleteDeployment", "key"),
    ("getDeploymentStatus", "id"),
    ("listDeploymentRevisions", "key"),
];

fn key(operation: Operation, schemas: &mut Schemas) -> Operation {
    operation.path::<DeploymentKey>(schemas, "key", "The deployment.", "shop.cart")
}

/// `GET /deployments`.
pub(crate) fn list(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Deployment>>();
    let condition = schemas.answered::<RunCondition>();
    Operation::new("listDeployments", "deployments", "List deployments")
        .about("The filters must all hold.")
        .text("name", "Only those with this in their keys.")
        .name::<PackageName>(schemas, "package_name", "Only those of this package.")
        .name::<Key>(schemas, "class_key", "Only those of this class.")
        .name::<ClusterName>(schemas, "target_env", "Only those meant for this cluster, or on it.")
        .query("condition", condition, "Only those in this condition.")
        .words("label", LABEL)
        .name::<BundleName>(schemas, "bundle", "Only those that belong to this bundle.")
        .watchable()
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::deployment()))
        .leads_to(&[200], "/items/0/key", LEADS)
}

/// `GET /deployments/{key}`.
pub(crate) fn get(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Deployment>();
    key(Operation::new("getDeployment", "deployments", "Read a deployment"), schemas)
        .reads()
        .answers(200, "The deployment.", schema, &examples::deployment())
}

fn push(operation: Operation, schemas: &mut Schemas) -> Operation {
    let answer = schemas.answered::<Written<OClassDeployment>>();
    let body = schemas.written::<OClassDeployment>();
    let operation = operation
        .writes()
        .takes(&body, &[("deployment", examples::deployment_spec())])
        .refuses(refusals::EXISTS)
        .refuses(refusals::OWNED)
        .refuses(refusals::TOO_LARGE);
    pushed(operation, &answer, &examples::written_deployment()).leads_to(&[200, 201], "/key", LEADS)
}

/// `POST /deployments`.
pub(crate) fn create(schemas: &mut Schemas) -> Operation {
    push(Operation::new("createDeployment", "deployments", "Create a deployment"), schemas)
}

/// `PUT /deployments/{key}`.
pub(crate) fn replace(schemas: &mut Schemas) -> Operation {
    let operation =
        Operation::new("replaceDeployment", "deployments", "Create or replace a deployment");
    push(key(operation, schemas).refuses(refusals::MISMATCH), schemas)
}

/// `DELETE /deployments/{key}`.
pub(crate) fn delete(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Written<OClassDeployment>>();
    let about = "It goes when nothing of it is left on any cluster. With `cluster` it leaves that cluster \
                 alone: the cluster joins `excluded_envs`, until a push says otherwise.";
    key(Operation::new("deleteDeployment", "deployments", "Ask for a deletion"), schemas)
        .about(about)
        .cluster(schemas)
        .flag(
            "force",
            "Whether to wait for the clusters (for `cluster` alone) no longer: of a deployment that is \
             being deleted already.",
        )
        .flag("dry_run", DRY_RUN)
        .writes()
        .refuses(refusals::DELETION)
        .refuses(refusals::FORCED)
        .answers(200, "By force, it is gone; or what a dry run would do.", schema.clone(), &examples::written_deployment())
        .answers(202, "It is asked for, now or before.", schema, &examples::written_deployment())
}

fn ask(schemas: &mut Schemas, id: &str, summary: &str) -> Operation {
    let schema = schemas.answered::<Written<OClassDeployment>>();
    key(Operation::new(id, "deployments", summary), schemas)
        .writes()
        .refuses(refusals::TOO_LARGE)
        .answers(200, "It is asked for, now or before.", schema, &examples::written_deployment())
}

/// `POST /deployments/{key}/pause`.
pub(crate) fn pause(schemas: &mut Schemas) -> Operation {
    ask(schemas, "pauseDeployment", "Send nothing of a deployment to any cluster")
        .about("It goes on as it runs; `meta.paused_at` says since when. A push does not end it.")
}

/// `POST /deployments/{key}/resume`.
pub(crate) fn resume(schemas: &mut Schemas) -> Operation {
    ask(schemas, "resumeDeployment", "Send what waits of a deployment")
}

/// `POST /deployments/{key}/restart`.
pub(crate) fn restart(schemas: &mut Schemas) -> Operation {
    ask(schemas, "restartDeployment", "Replace a deployment by the same, everywhere").about(
        "A new generation of the same spec. Asked again after a lost answer, it restarts again.",
    )
}
