//! Revisions and rollbacks, of packages and of deployments alike.

use oprc_models::{
    deployment::OClassDeployment,
    names::{DeploymentKey, PackageName},
    package::OPackage,
    schema::Schemas,
    view::{Comparison, RevisionDocument, Revisions, Written},
};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::{super::examples, Operation, refusals};

/// A kind of document whose revisions are kept.
pub(crate) trait Kept: JsonSchema + Sized {
    /// How it is named.
    type Name: JsonSchema;
    /// `Package`, as in `getPackageRevision`.
    const WORD: &'static str;
    /// The group that it is one of.
    const TAG: &'static str;
    /// The path's parameter, and an example of it.
    const NAME: (&'static str, &'static str);
    /// As it was.
    fn was() -> Value;
    /// As a rollback answers it.
    fn written() -> Value;
}

impl Kept for OPackage {
    type Name = PackageName;
    const WORD: &'static str = "Package";
    const TAG: &'static str = "packages";
    const NAME: (&'static str, &'static str) = ("name", "shop");

    fn was() -> Value {
        examples::revision(examples::package_spec())
    }

    fn written() -> Value {
        examples::written_package()
    }
}

impl Kept for OClassDeployment {
    type Name = DeploymentKey;
    const WORD: &'static str = "Deployment";
    const TAG: &'static str = "deployments";
    const NAME: (&'static str, &'static str) = ("key", "shop.cart");

    fn was() -> Value {
        examples::revision(examples::deployment_spec())
    }

    fn written() -> Value {
        examples::written_deployment()
    }
}

/// An operation of `T`'s, `id` with its word in the place of `*`.
fn operation<T: Kept>(schemas: &mut Schemas, id: &str, summary: &str) -> Operation {
    let (name, example) = T::NAME;
    Operation::new(&id.replace('*', T::WORD), T::TAG, summary)
        .path::<T::Name>(schemas, name, "The document.", example)
        .refuses(refusals::STORED)
}

/// `GET …/revisions`.
pub(crate) fn list<T: Kept>(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Revisions>();
    operation::<T>(schemas, "list*Revisions", "List the revisions that are kept")
        .about("The newest first; it is what the document is now.")
        .conditional()
        .answers(200, "The revisions.", schema, &examples::revisions())
        .leads_to(&[200], "/items/0/generation", &[])
}

/// `GET …/revisions/{generation}`.
pub(crate) fn revision<T: Kept>(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<RevisionDocument<T>>();
    operation::<T>(schemas, "get*Revision", "Read the document as it was")
        .generation("generation", "The generation.")
        .refuses(refusals::NOT_KEPT)
        .answers(200, "The document as it was.", schema, &T::was())
}

/// `GET …/revisions/{from}/diff/{to}`.
pub(crate) fn diff<T: Kept>(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Comparison>();
    operation::<T>(schemas, "diff*Revisions", "What differs between two revisions")
        .generation("from", "The generation that changes start from.")
        .generation("to", "The generation that they lead to.")
        .refuses(refusals::NOT_KEPT)
        .answers(200, "What differs, field by field.", schema, &examples::comparison())
}

/// `POST …/rollback`.
pub(crate) fn rollback<T: Kept>(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answered::<Written<T>>();
    let body = json!({
        "type": "object", "required": ["generation"], "additionalProperties": false,
        "properties": { "generation": {
            "type": "integer", "minimum": 0, "description": "The generation to go back to.",
        } },
    });
    operation::<T>(schemas, "rollback*", "Bring a revision back")
        .about("An ordinary push of the old spec: validated again, and a new generation of the document.")
        .writes()
        .takes_simply(&body, &json!({ "generation": 2 }))
        .refuses(refusals::NOT_KEPT)
        .refuses(refusals::NOT_VALID)
        .refuses(refusals::OWNED)
        .refuses(refusals::PUBLISHED)
        .refuses(refusals::TOO_LARGE)
        .answers(200, "It is as it was then.", schema.clone(), &T::written())
        .answers(201, "It is new: the document had been deleted meanwhile.", schema, &T::written())
        .located()
}
