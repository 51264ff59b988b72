//! What the interface is, told by the interface: an OpenAPI 3.1 description, the JSON Schemas of its
//! documents, and a page for people.
//!
//! The router and the description come from one registration, [`routes::Routes`]: a route cannot be
//! served without being described. That the description is *true* is for tests to hold: every answer of
//! this crate's tests is held against it, and so are its own examples and the client's operations.
//!
//! Nothing here reads a document or knows the store.

pub(crate) mod examples;
mod operation;
pub(crate) mod operations;
mod page;
mod refusals;
pub(crate) mod routes;
mod serve;

#[cfg(test)]
pub(crate) mod tests;

use oprc_models::{problem::Problem, schema::Schemas};
use serde_json::{Map, Value, json};

pub(crate) use operation::Operation;

/// How an operation is described.
pub(crate) type Describe = fn(&mut Schemas) -> Operation;

/// A route that is described.
pub(crate) struct Described {
    /// In lower case, as OpenAPI has it.
    method: &'static str,
    path: String,
    describe: Describe,
}

const ABOUT: &str = "\
Declares packages (classes, functions) and deployments (which class runs where), and shows what the \
clusters make of them. A write stores what is wanted and returns; controllers bring it about, and the \
status says how far they are.\n\n\
Names are 1 to 253 of `[A-Za-z0-9._-]`. Documents are taken as JSON or YAML; a number or a boolean is \
taken as its text where a text is wanted, and null is the same as leaving a field out. Every refusal is \
a problem document (RFC 9457) with a stable `code`. A query parameter that an operation does not know is \
refused. Every answer carries `X-Correlation-Id`.";

/// The description of `routes`.
fn description(routes: &[Described]) -> Value {
    let mut schemas = Schemas::default();
    schemas.answered::<Problem>();
    let mut paths: Map<String, Value> = Map::new();
    for Described { method, path, describe } in routes {
        let operation = describe(&mut schemas);
        let is_guarded = path.starts_with("/api/");
        let operation = if is_guarded { operation.guarded() } else { operation }.into_value();
        if let Value::Object(methods) = paths.entry(path.clone()).or_insert_with(|| json!({})) {
            methods.insert((*method).to_owned(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "oprc-pm",
            "summary": "The Package Manager of an Object-as-a-Service platform",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This server" }],
        "tags": operations::tags(),
        "paths": paths,
        "components": {
            "schemas": schemas.into_definitions(),
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "Asked for where the server runs with `OPRC_PM_AUTH_MODE=jwt`.",
            } },
        },
    })
}
