//! Who the caller is, and who may do what.

use oprc_models::{
    access::{Verdict, WhoAmI},
    names::{BindingName, PackageName},
    role::{Kind, RoleBinding, Verb},
    schema::Schemas,
    view::{Binding, Page, Written},
};
use serde_json::json;

use super::{super::examples, DRY_RUN, Operation, pushed, refusals};

/// The operations that a binding's name leads to.
const LEADS: &[(&str, &str)] =
    &[("getRoleBinding", "name"), ("replaceRoleBinding", "name"), ("deleteRoleBinding", "name")];

/// `GET /whoami`.
pub(crate) fn whoami(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<WhoAmI>();
    Operation::new("whoAmI", "access", "Who the caller is here, and their roles")
        .refuses(refusals::STORED)
        .answers(200, "The caller.", schema, &examples::who())
}

/// `GET /can-i`.
pub(crate) fn can_i(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Verdict>();
    let verbs: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let about = "Kinds go by their other names, too: `package`, `rb`.";
    Operation::new("canI", "access", "Whether the caller may do something")
        .about(about)
        .required("verb", json!({ "type": "string", "enum": verbs }), "What is done.")
        .required("kind", json!({ "type": "string", "examples": kinds }), "What it is done to.")
        .text("name", "Which one; of a class or function, its package.")
        .name::<PackageName>(schemas, "package_name", "The package that it is of.")
        .refuses(refusals::STORED)
        .refuses(refusals::NAME_IN_QUERY)
        .answers(200, "Whether, and if not, what is missing.", schema, &json!({ "allowed": true }))
}

fn name(operation: Operation, schemas: &mut Schemas) -> Operation {
    operation.path::<BindingName>(schemas, "name", "The role binding.", "shop-team")
}

/// `GET /role-bindings`.
pub(crate) fn list(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Page<Binding>>();
    Operation::new("listRoleBindings", "access", "List role bindings")
        .text("name", "Only those with this in their names.")
        .text("subject", "Only those that name this subject.")
        .text("group", "Only those that name this group.")
        .pages()
        .answers(200, "A page.", schema, &examples::page(&examples::binding()))
        .leads_to(&[200], "/items/0/name", LEADS)
}

/// `GET /role-bindings/{name}`.
pub(crate) fn get(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Binding>();
    name(Operation::new("getRoleBinding", "access", "Read a role binding"), schemas)
        .reads()
        .answers(200, "The role binding.", schema, &examples::binding())
}

fn push(operation: Operation, schemas: &mut Schemas) -> Operation {
    let answer = schemas.answered::<Written<RoleBinding>>();
    let body = schemas.written::<RoleBinding>();
    let operation = operation
        .writes()
        .takes(&body, &[("binding", examples::binding_spec())])
        .refuses(refusals::EXISTS);
    pushed(operation, &answer, &examples::binding()).leads_to(&[200, 201], "/name", LEADS)
}

/// `POST /role-bindings`.
pub(crate) fn create(schemas: &mut Schemas) -> Operation {
    push(Operation::new("createRoleBinding", "access", "Create a role binding"), schemas)
}

/// `PUT /role-bindings/{name}`.
pub(crate) fn replace(schemas: &mut Schemas) -> Operation {
    let operation =
        Operation::new("replaceRoleBinding", "access", "Create or replace a role binding");
    push(name(operation, schemas).refuses(refusals::MISMATCH), schemas)
}

/// `DELETE /role-bindings/{name}`.
pub(crate) fn delete(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Written<RoleBinding>>();
    name(Operation::new("deleteRoleBinding", "access", "Remove a role binding"), schemas)
        .flag("dry_run", DRY_RUN)
        .writes()
        .answers(200, "It counts no more; this is what it was.", schema, &examples::binding())
}
