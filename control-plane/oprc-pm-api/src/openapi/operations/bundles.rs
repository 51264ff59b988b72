//! Pushes of many documents, and what was pushed under a name.

use oprc_models::{
    bundle::Bundle,
    deployment::OClassDeployment,
    names::BundleName,
    package::OPackage,
    schema::{DeploymentList, Schemas},
    view::{Applied, BundleDocument, Page},
};
use serde_json::json;

use super::{super::examples, Operation, refusals};

const ABOUT: &str = "\
A stream of YAML documents, a list, or `items`: packages and deployments in any order, told apart by \
their shape or their `kind`. They are validated as a whole, and take effect at one moment or not at all. \
A violation's pointer begins with the place of its document: `/3/classes/0/key`.";

/// `POST /apply`.
pub(crate) fn apply(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Applied>();
    let document = json!({ "anyOf": [
        schemas.written::<OPackage>(),
        schemas.written::<OClassDeployment>(),
        schemas.written::<DeploymentList>(),
    ] });
    let list = json!({ "type": "array", "items": document });
    let items = json!({
        "type": "object", "properties": { "items": list.clone() }, "required": ["items"],
    });
    let body = json!({ "anyOf": [list, items, document] });
    let pushed = json!([examples::package_spec(), examples::deployment_spec()]);
    Operation::new("apply", "packages", "Push many documents: all or none")
        .about(ABOUT)
        .name::<BundleName>(schemas, "bundle", "The documents belong to this bundle.")
        .flag("prune", "Whether what the bundle owns and this push has not is deleted.")
        .flag("allow_empty", "Allow `prune` to delete every document that the bundle owns.")
        .flag("force", "Whether documents of other bundles are taken.")
        .flag("dry_run", "Whether to tell what would become of it, and write nothing.")
        .text("source_repository", "Where the documents are kept: the repository.")
        .text("source_commit", "Where the documents are kept: the commit.")
        .unconditional_write()
        .takes(&body, &[("documents", pushed)])
        .refuses(refusals::OWNED)
        .refuses(refusals::PUBLISHED)
        .refuses(refusals::IN_USE)
        .refuses(refusals::UNCHANGED)
        .refuses(refusals::EMPTIED)
        .refuses(refusals::TOO_LARGE)
        .answers(200, "What became of each, or would.", schema, &examples::applied())
}

/// `GET /bundles`.
pub(crate) fn list(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Bundle>>();
    Operation::new("listBundles", "packages", "List bundles")
        .text("name", "Only those with this in their names.")
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::bundle()))
        .leads_to(&[200], "/items/0/name", &[("getBundle", "name")])
}

/// `GET /bundles/{name}`.
pub(crate) fn get(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<BundleDocument>();
    Operation::new("getBundle", "packages", "Read a bundle, with the documents that it owns")
        .path::<BundleName>(schemas, "name", "The bundle.", "shop-prod")
        .reads()
        .answers(200, "The bundle.", schema, &examples::bundle_document())
}
