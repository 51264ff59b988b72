//! Probes and metrics.

use oprc_models::schema::Schemas;
use serde_json::{Value, json};

use super::Operation;

fn live(id: &str) -> Operation {
    let schema = json!({
        "type": "object", "properties": { "status": { "const": "ok" } }, "required": ["status"],
    });
    let content =
        json!({ "application/json": { "schema": schema, "example": { "status": "ok" } } });
    Operation::new(id, "process", "Whether the process answers").answers_with(
        200,
        "It does.",
        content,
        &[],
    )
}

/// `GET /livez`.
pub(crate) fn livez(_: &mut Schemas) -> Operation {
    live("getLiveness")
}

/// `GET /healthz`.
pub(crate) fn healthz(_: &mut Schemas) -> Operation {
    live("getHealth")
}

/// `GET /readyz`.
pub(crate) fn readyz(_: &mut Schemas) -> Operation {
    let schema = json!({
        "type": "object",
        "properties": {
            "ready": { "type": "boolean" },
            "reasons": { "type": "array", "items": { "type": "string" } },
        },
        "required": ["ready", "reasons"],
    });
    let content =
        |example: Value| json!({ "application/json": { "schema": schema, "example": example } });
    let not_ready = json!({ "ready": false, "reasons": ["the store is out of reach"] });
    Operation::new("getReadiness", "process", "Whether requests should be sent here")
        .answers_with(200, "They should.", content(json!({ "ready": true, "reasons": [] })), &[])
        .answers_with(503, "Not now, for each of the reasons.", content(not_ready), &[])
}

/// `GET /metrics`.
pub(crate) fn metrics(_: &mut Schemas) -> Operation {
    let content = json!({ "text/plain": { "schema": { "type": "string" } } });
    Operation::new("getMetrics", "process", "Metrics, in Prometheus' text format")
        .answers_with(200, "The metrics.", content, &[])
        .refuses(&[
            (401, "unauthenticated", "Where they are not open to all: no token, or a wrong one."),
            (404, "route_not_found", "This process renders no metrics."),
            (421, "misdirected_request", "Without authentication, another host is meant."),
        ])
}
