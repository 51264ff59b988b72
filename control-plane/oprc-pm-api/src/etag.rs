//! Entity tags and the conditions that callers put on them.
//!
//! A document's tag is `"<spec revision>.<status revision>"`, with an `s` after it when the status
//! is stale. So a client that polls sees a new status, while a client that writes cares for the
//! spec alone: `If-Match` compares the first number only, and a status that moved in between does
//! not fail a write.

use http::{HeaderMap, HeaderValue, header};
use oprc_cp_storage::Revision;

use crate::{
    error::ApiError,
    writes::{Conditions, Tags},
};

/// The longest `If-Match` or `If-None-Match`, in bytes.
pub(crate) const MAX_CONDITION_BYTES: usize = 4096;

/// The tag of a document at these revisions.
pub(crate) fn document(spec: Revision, status: Option<Revision>, is_stale: bool) -> String {
    let stale = if is_stale { "s" } else { "" };
    format!("\"{spec}.{}{stale}\"", status.unwrap_or_default())
}

/// Whether `If-None-Match` names `tag`: the caller has what would be answered.
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|given| given == "*" || given.trim_start_matches("W/") == opaque)
}

/// The conditions of a write.
pub(crate) fn conditions(headers: &HeaderMap) -> Result<Conditions, ApiError> {
    Ok(Conditions {
        if_match: tags(headers, &header::IF_MATCH)?,
        if_none_match: tags(headers, &header::IF_NONE_MATCH)?,
        ..Conditions::default()
    })
}

fn tags(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<Tags>, ApiError> {
    let refused = || {
        let detail = format!("{name}: want `*`, or entity tags in quotes, as ETag gave them");
        ApiError::bad_request("invalid_header", detail)
    };
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let mut revisions = Vec::new();
    for value in values {
        let text = value.to_str().map_err(|_| refused())?;
        if text.len() > MAX_CONDITION_BYTES {
            return Err(refused());
        }
        if text.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in text.split(',').map(str::trim) {
            revisions.extend(spec_revision(tag).map_err(|()| refused())?);
        }
    }
    Ok(Some(Tags::Of(revisions)))
}

/// The spec's revision in a strong tag; `None` for a tag that cannot be one of ours: it matches
/// nothing, and neither does a weak one, as RFC 9110 has it for writes.
fn spec_revision(tag: &str) -> Result<Option<Revision>, ()> {
    let (is_weak, quoted) = match tag.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, tag),
    };
    let opaque = quoted.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or(())?;
    if opaque.contains('"') {
        return Err(());
    }
    let spec = opaque.split('.').next().unwrap_or(opaque);
    Ok(spec.parse().ok().filter(|_| !is_weak).map(Revision))
}

/// `tag` as a header's value. Tags are made of digits, dots and quotes.
pub(crate) fn header_value(tag: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(tag).ok()
}
