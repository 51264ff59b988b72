//! What each operation is, a function for each; the router names them beside the handlers.

pub(crate) mod access;
pub(crate) mod bundles;
pub(crate) mod deployments;
pub(crate) mod history;
pub(crate) mod observed;
pub(crate) mod packages;
pub(crate) mod probes;

use oprc_models::schema::{self, Schemas};
use serde_json::{Value, json};

use super::{Operation, refusals};

/// Headers of texts that are kept.
const KEPT: &[(&str, &str)] = &[("ETag", "The entity tag, for `If-None-Match`.")];

/// What operations are grouped by.
pub(super) fn tags() -> Value {
    json!([
        { "name": "packages", "description": "Classes, the functions that they bind, and what they depend on." },
        { "name": "deployments", "description": "Which class runs where." },
        { "name": "observed", "description": "What the clusters make of it." },
        { "name": "clusters", "description": "The clusters that there are, and how they are." },
        { "name": "access", "description": "Who may do what." },
        { "name": "process", "description": "Probes, metrics, and this description." },
    ])
}

/// `GET /`.
pub(super) fn index(_: &mut Schemas) -> Operation {
    Operation::new("getIndex", "process", "The way to the page").redirects("`Location` is `/docs`.")
}

/// `GET /openapi.json`.
pub(super) fn openapi(_: &mut Schemas) -> Operation {
    let schema = json!({ "type": "object", "required": ["openapi", "info", "paths"] });
    let example = json!({ "openapi": "3.1.0", "info": { "title": "oprc-pm", "version": "0.1.0" }, "paths": {} });
    Operation::new("getDescription", "process", "This description")
        .answers_with(
            200,
            "An OpenAPI 3.1 description.",
            json!({ "application/json": { "schema": schema, "example": example } }),
            KEPT,
        )
        .conditional()
}

/// `GET /docs`.
pub(super) fn docs(_: &mut Schemas) -> Operation {
    Operation::new("getDocs", "process", "This description as a page")
        .answers_with(
            200,
            "A page that loads nothing from anywhere.",
            json!({ "text/html": { "schema": { "type": "string" } } }),
            KEPT,
        )
        .conditional()
}

/// `GET /schemas/{file}`.
pub(super) fn schema(_: &mut Schemas) -> Operation {
    let files: Vec<String> = schema::KINDS.iter().map(|(name, _)| format!("{name}.json")).collect();
    let about = "For editors: `# yaml-language-server: $schema=<this URL>` as a file's first line.";
    let example =
        json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" });
    Operation::new("getSchema", "process", "The JSON Schema of a document")
        .about(about)
        .choice("file", &files)
        .answers_with(
            200,
            "A JSON Schema (2020-12) of the document as people write it.",
            json!({ "application/schema+json": { "schema": { "type": "object" }, "example": example } }),
            KEPT,
        )
        .conditional()
}

/// The flag `dry_run` of a removal.
const DRY_RUN: &str = "Decide and answer, and write nothing.";

/// The answer to a dry run of a removal.
const DRY_RUN_ANSWER: &str =
    "A dry run: the document as it would be, and in `also_written` what would go with it.";

/// Description of the parameter `label`.
const LABEL: &str = "\
Only those whose labels meet this selector: `team=blue`, `team!=blue`, `team in (blue,red)`, \
`team notin (blue)`, `team` (present) or `!team` (absent), joined by commas; all must hold.";

/// The three answers to a push of one document.
fn pushed(operation: Operation, schema: &Value, example: &Value) -> Operation {
    operation
        .answers(200, "It is there: replaced, or the same as it was.", schema.clone(), example)
        .answers(201, "It is new.", schema.clone(), example)
        .located()
}
