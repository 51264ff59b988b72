//! How operations may be refused: every status and code, with what it means.

use std::collections::BTreeMap;

use http::StatusCode;
use oprc_models::problem::PROBLEM_JSON;
use serde_json::{Map, Value, json};

use super::operation::of;

/// A status, a code, and when.
pub(crate) type Refusal = (u16, &'static str, &'static str);

/// Of every operation.
pub(super) const ALWAYS: &[Refusal] = &[
    (400, "invalid_request", "The request cannot be read."),
    (429, "rate_limited", "This address or subject asks more often than it may."),
    (429, "too_many_requests", "Too many of this kind are under way; repeat."),
    (500, "internal", "An error of ours; the log has it under the correlation id."),
    (503, "timeout", "Not done in time; a write may have landed; repeating it is safe."),
];

/// Of those that ask who the caller is.
pub(super) const GUARDED: &[Refusal] = &[
    (401, "unauthenticated", "No token, or one that is not believed; `detail` says why."),
    (403, "forbidden", "The caller may not do this; `detail` has the roles that would do."),
    (
        421,
        "misdirected_request",
        "Without authentication, another host than this machine is meant.",
    ),
];

/// Of those with a name in the query.
pub(super) const NAME_IN_QUERY: &[Refusal] = &[(400, "invalid_name", "A name is not one.")];

/// Of those with a name in the path.
pub(super) const NAMED: &[Refusal] = &[
    (400, "invalid_name", "A name in the path is not one."),
    (404, "not_found", "There is no such thing."),
];

/// Of reads.
pub(super) const READ: &[Refusal] = &[
    (400, "invalid_parameter", "A query parameter is not as it should be."),
    (400, "unknown_parameter", "A query parameter that the operation does not know."),
    (500, "unreadable_object", "The stored value cannot be read."),
    (503, "not_ready", "Starting."),
    (503, "store_unauthorized", "The store refuses the credentials of this server."),
    (503, "unavailable", "The store is out of reach."),
];

/// Of lists.
pub(super) const PAGED: &[Refusal] =
    &[(400, "invalid_continue", "`continue` is not of this list; begin again.")];

/// Of writes.
pub(super) const WRITE: &[Refusal] = &[
    (400, "invalid_parameter", "A query parameter is not as it should be."),
    (400, "unknown_parameter", "A query parameter that the operation does not know."),
    (403, "cross_site_request", "A browser sent it for a page of another origin."),
    (415, "unsupported_media_type", "Neither JSON nor YAML in UTF-8."),
    (409, "conflict", "Too many wrote it at once; repeat."),
    (409, "unreadable_object", "The stored value cannot be read; it is left alone."),
    (503, "audit_unavailable", "Writes must be told and cannot be; nothing was written."),
    (503, "maybe_done", "The store did not answer: it may have landed; repeating it is safe."),
    (503, "not_ready", "Starting."),
    (
        503,
        "store_unauthorized",
        "The store refuses the credentials of this server; nothing was written.",
    ),
    (503, "unavailable", "The store is out of reach; nothing was written."),
    (507, "store_full", "The store has no room; reads go on."),
];

/// Of writes under conditions.
pub(super) const CONDITIONAL: &[Refusal] = &[
    (400, "invalid_header", "`If-Match` or `If-None-Match` is not as it should be."),
    (412, "precondition_failed", "`If-Match`, `If-None-Match` or `if_unchanged` does not hold."),
];

/// Of writes that take a document.
pub(super) const DOCUMENT: &[Refusal] = &[
    (400, "invalid_document", "It does not parse, or is not valid; each violation is in `errors`."),
    (400, "invalid_body", "The body broke off."),
    (408, "request_timeout", "The body did not arrive."),
    (413, "body_too_large", "The body is larger than what is taken."),
    (415, "unsupported_media_type", "Neither JSON nor YAML in UTF-8."),
];

/// Of writes under a name.
pub(super) const MISMATCH: &[Refusal] =
    &[(400, "name_mismatch", "Path and document name different things.")];

/// Of creations.
pub(super) const EXISTS: &[Refusal] =
    &[(409, "already_exists", "It is there, and differs; replace it with PUT.")];

/// Of what may touch more than one transaction holds.
pub(super) const TOO_LARGE: &[Refusal] =
    &[(413, "transaction_too_large", "More than one transaction holds; push in several steps.")];

/// Of packages with inline deployments.
pub(super) const OWNED: &[Refusal] =
    &[(409, "owned_by_other", "A deployment that is declared here belongs to someone else.")];

/// Of pushes with `if_unchanged`.
pub(super) const UNCHANGED: &[Refusal] = &[(
    412,
    "precondition_failed",
    "With `if_unchanged`: a document was changed since it was read; each is in `errors`.",
)];

/// Of pushes that prune.
pub(super) const EMPTIED: &[Refusal] = &[(
    409,
    "bundle_emptied",
    "Pruning would delete every document of the bundle; allow it with `allow_empty=true`.",
)];

/// Of packages with a version.
pub(super) const PUBLISHED: &[Refusal] = &[(
    409,
    "version_exists",
    "The version is published with another content; `errors` says what differs.",
)];

/// Of what speaks of a version.
pub(super) const NOT_PUBLISHED: &[Refusal] =
    &[(404, "version_not_found", "No such version is published; `detail` has those that are.")];

/// Of watches.
pub(super) const WATCH: &[Refusal] = &[
    (400, "invalid_header", "`Last-Event-ID` is not the id of an event."),
    (
        410,
        "revision_too_old",
        "A watch from before what is kept, or of another store; begin again.",
    ),
    (429, "too_many_watches", "As many watches are open as there may be."),
    (503, "stopping", "This server is about to end."),
];

/// Of deletions of what others need.
pub(super) const IN_USE: &[Refusal] =
    &[(409, "has_dependants", "Others need it; each is in `errors`.")];

/// Of what looks into the store.
pub(super) const STORED: &[Refusal] = &[
    (400, "unknown_parameter", "A query parameter that the operation does not know."),
    (400, "invalid_parameter", "The query is too long."),
    (500, "unreadable_object", "The stored value cannot be read."),
    (503, "not_ready", "Starting."),
    (503, "unavailable", "The store is out of reach."),
];

/// Of what speaks of a generation.
pub(super) const NOT_KEPT: &[Refusal] =
    &[(404, "revision_not_found", "No such generation is kept; `detail` has those that are.")];

/// Of rollbacks.
pub(super) const NOT_VALID: &[Refusal] =
    &[(422, "revision_not_valid", "What it was is not valid any more; `errors` says why.")];

/// Of a deletion from one cluster, which writes the document.
pub(super) const DELETION: &[Refusal] =
    &[(413, "transaction_too_large", "More than one transaction holds.")];

/// Of removals by force.
pub(super) const FORCED: &[Refusal] = &[
    (409, "force_refused", "By force, what is not being deleted, or a cluster that is connected."),
    (409, "has_dependants", "Something is left elsewhere, too; each is in `errors`."),
];

/// Adds the responses for `refusals`, those of one status in one.
pub(super) fn add(responses: &mut Map<String, Value>, refusals: &[Refusal]) {
    let mut by_status: BTreeMap<u16, BTreeMap<&str, &str>> = BTreeMap::new();
    for (status, code, when) in refusals {
        by_status.entry(*status).or_default().insert(code, when);
    }
    for (status, codes) in by_status {
        let response = response(status, &codes);
        match responses.get_mut(&status.to_string()) {
            // A status that says something in JSON already may also be a problem.
            Some(known) => {
                known["content"][PROBLEM_JSON] = response["content"][PROBLEM_JSON].clone()
            }
            None => drop(responses.insert(status.to_string(), response)),
        }
    }
}

fn response(status: u16, codes: &BTreeMap<&str, &str>) -> Value {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let title = title.unwrap_or_default();
    let lines: Vec<String> =
        codes.iter().map(|(code, when)| format!("- `{code}`: {when}")).collect();
    let example = |code: &str, when: &str| {
        let mut problem = json!({
            "type": "about:blank", "title": title, "status": status, "code": code, "detail": when,
            "correlation_id": "0c1f6e0e-6d0f-4c1b-9a55-1f6d1b6f9b1e",
        });
        if code == "invalid_document" {
            let violation = json!({ "pointer": "/classes/0/key", "message": "is missing" });
            problem["errors"] = json!([violation]);
        }
        json!({ "value": problem })
    };
    let examples: Map<String, Value> =
        codes.iter().map(|(code, when)| ((*code).to_owned(), example(code, when))).collect();
    let names: Vec<&str> = codes.keys().copied().collect();
    let mut headers: Vec<(&str, &str)> = Vec::new();
    if matches!(status, 429 | 503) || codes.contains_key("conflict") {
        headers.push(("Retry-After", "Seconds until it is worth another try."));
    }
    if status == 401 {
        headers.push(("WWW-Authenticate", "What was wrong with the token."));
    }
    json!({
        "description": format!("{title}\n\n{}", lines.join("\n")),
        "headers": of(&headers),
        "content": { PROBLEM_JSON: {
            "schema": {
                "allOf": [{ "$ref": "#/components/schemas/Problem" }],
                "properties": { "status": { "const": status }, "code": { "type": "string", "enum": names } },
                "required": ["code"],
            },
            "examples": examples,
        } },
    })
}
