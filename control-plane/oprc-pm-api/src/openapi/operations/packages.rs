//! Packages, and their classes and functions.

use oprc_models::{
    names::{BundleName, PackageName},
    package::OPackage,
    schema::{DeploymentList, Schemas},
    view::{Class, Function, Package, Page, PublishedPackage, Versions, Written, WrittenList},
};
use serde_json::json;

use super::{super::examples, DRY_RUN, DRY_RUN_ANSWER, LABEL, Operation, pushed, refusals};

/// The operations that a package's name leads to.
const LEADS: &[(&str, &str)] = &[
    ("getPackage", "name"),
    ("replacePackage", "name"),
    ("deletePackage", "name"),
    ("listPackageRevisions", "name"),
    ("listPackageVersions", "name"),
];

const LIST: &str = "\
The filters must all hold.";

fn name(operation: Operation, schemas: &mut Schemas) -> Operation {
    operation.path::<PackageName>(schemas, "name", "The package.", "shop")
}

/// `GET /packages`.
pub(crate) fn list(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Package>>();
    Operation::new("listPackages", "packages", "List packages")
        .about(LIST)
        .text("name", "Only those with this in their names.")
        .words("tag", "Only those with this tag; all must hold.")
        .words("label", LABEL)
        .name::<BundleName>(schemas, "bundle", "Only those that belong to this bundle.")
        .watchable()
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::package()))
        .leads_to(&[200], "/items/0/name", LEADS)
}

/// `GET /packages/{name}`.
pub(crate) fn get(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Package>();
    let published = schemas.answered::<PublishedPackage>();
    let schema = json!({ "anyOf": [schema, published] });
    let version = json!({ "type": "string" });
    name(Operation::new("getPackage", "packages", "Read a package"), schemas)
        .reads()
        .query("version", version, VERSION)
        .refuses(refusals::NOT_PUBLISHED)
        .answers(200, "The package, or what is published of it.", schema, &examples::package())
}

const VERSION: &str = "\
What is published under this version (`1.0`), or under the highest that a requirement (`^1`) permits: \
classes, functions and dependencies, with `published` beside them.";

/// `GET /packages/{name}/versions`.
pub(crate) fn versions(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Versions>();
    name(Operation::new("listPackageVersions", "packages", "List what is published"), schemas)
        .about("The highest version first.")
        .reads()
        .answers(200, "The versions.", schema, &examples::versions())
}

fn push(operation: Operation, schemas: &mut Schemas) -> Operation {
    let body = json!({ "anyOf": [
        schemas.written::<OPackage>(), schemas.written::<DeploymentList>(),
    ] });
    let answer = json!({ "anyOf": [
        schemas.answered::<Written<OPackage>>(), schemas.answered::<WrittenList>(),
    ] });
    let operation = operation
        .writes()
        .takes(
            &body,
            &[("package", examples::package_spec()), ("deployments", examples::deployment_list())],
        )
        .refuses(refusals::OWNED)
        .refuses(refusals::EXISTS)
        .refuses(refusals::PUBLISHED)
        .refuses(refusals::TOO_LARGE);
    pushed(operation, &answer, &examples::written_package()).leads_to(&[200, 201], "/name", LEADS)
}

const INLINE: &str = "\
Inline deployments are written in the same transaction, as documents of their own that the package owns. \
A body with `deployments` and neither classes nor functions is a list of deployments, each taken as if \
pushed by itself; the answer then has them as `items`.";

/// `POST /packages`.
pub(crate) fn create(schemas: &mut Schemas) -> Operation {
    let operation = Operation::new("createPackage", "packages", "Create a package").about(INLINE);
    push(operation, schemas)
}

/// `PUT /packages/{name}`.
pub(crate) fn replace(schemas: &mut Schemas) -> Operation {
    let operation =
        Operation::new("replacePackage", "packages", "Create or replace a package").about(INLINE);
    push(name(operation, schemas).refuses(refusals::MISMATCH), schemas)
}

/// `POST /packages/{name}`.
pub(crate) fn replace_by_post(schemas: &mut Schemas) -> Operation {
    let operation = Operation::new("postPackage", "packages", "Create or replace a package")
        .about("The same as `PUT`.")
        .deprecated();
    push(name(operation, schemas).refuses(refusals::MISMATCH), schemas)
}

/// `DELETE /packages/{name}`.
pub(crate) fn delete(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Written<OPackage>>();
    name(Operation::new("deletePackage", "packages", "Ask for a package's deletion"), schemas)
        .about("It goes when nothing of it is left on any cluster.")
        .flag("cascade", "Whether what depends on it is deleted, too.")
        .flag("dry_run", DRY_RUN)
        .writes()
        .refuses(refusals::IN_USE)
        .refuses(refusals::TOO_LARGE)
        .answers(200, DRY_RUN_ANSWER, schema.clone(), &examples::deleting_package())
        .answers(202, "It is asked for, now or before.", schema, &examples::deleting_package())
}

fn parts(operation: Operation, schemas: &mut Schemas) -> Operation {
    operation
        .text("name", "Only those with this in their keys.")
        .name::<PackageName>(schemas, "package_name", "Only those of this package.")
        .pages()
}

/// `GET /classes`.
pub(crate) fn classes(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Class>>();
    parts(Operation::new("listClasses", "packages", "List the classes of all packages"), schemas)
        .answers(200, "A page.", schema, &examples::page(&examples::class()))
}

/// `GET /functions`.
pub(crate) fn functions(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Function>>();
    parts(
        Operation::new("listFunctions", "packages", "List the functions of all packages"),
        schemas,
    )
    .answers(200, "A page.", schema, &examples::page(&examples::function()))
}
