//! Documents as users see them: their own fields, and beside them `meta`, `status` and `warnings`.

use http::{HeaderValue, StatusCode, header};
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{meta::Meta, problem::Violation};
use serde::Serialize;

use crate::{
    call::{Answer, json},
    door::audit::Effects,
    etag,
    splice::{Object, array},
    writes::{Outcome, Written},
};

type Result = std::result::Result<(), serde_json::Error>;

/// Adds `meta`, with the revision that the document was last written at.
pub(crate) fn meta(object: &mut Object<'_>, meta: &Meta, revision: Revision) -> Result {
    object.field_with("meta", |buffer| {
        let mut object = Object::new(buffer);
        object.members(meta)?;
        // Text, since it is opaque: nothing is to be computed with it.
        object.field("resource_version", &revision.to_string())?;
        object.end();
        Ok(())
    })
}

/// Adds `status`, marked when nobody keeps it.
pub(crate) fn status(object: &mut Object<'_>, status: &impl Serialize, is_stale: bool) -> Result {
    object.field_with("status", |buffer| {
        let mut object = Object::new(buffer);
        object.members(status)?;
        if is_stale {
            object.field("stale", &true)?;
        }
        object.end();
        Ok(())
    })
}

fn document(buffer: &mut Vec<u8>, written: &Written, warnings: &[Violation]) -> Result {
    fields(Object::new(buffer), written, warnings)
}

fn fields(mut object: Object<'_>, written: &Written, warnings: &[Violation]) -> Result {
    object.members_of_text(&written.spec_json);
    meta(&mut object, &written.meta, written.revision)?;
    if !written.others.is_empty() {
        let keys: Vec<String> = written.others.iter().map(ToString::to_string).collect();
        object.field("also_written", &keys)?;
    }
    if !warnings.is_empty() {
        object.field("warnings", &warnings)?;
    }
    object.end();
    Ok(())
}

/// The answer to a write of several: each as it is stored now.
pub(crate) fn all_written(written: &[Written], warnings: &[Violation]) -> Answer {
    let mut buffer = Vec::new();
    let mut object = Object::new(&mut buffer);
    object.field_with("items", |buffer| {
        // As many as came in one body.
        let write = |buffer: &mut Vec<u8>, one: &Written| document(buffer, one, &one.warnings);
        array(buffer, written, usize::MAX, write).map(drop)
    })?;
    if !warnings.is_empty() {
        object.field("warnings", &warnings)?;
    }
    object.end();
    let is_new = written.iter().any(|one| one.outcome == Outcome::Created);
    let mut response = json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, buffer);
    response.extensions_mut().insert(Effects::of(written));
    Ok(response)
}

/// The answer to a write: the document as it is stored now.
pub(crate) fn written(written: &Written, mut warnings: Vec<Violation>, path: &str) -> Answer {
    warnings.extend_from_slice(&written.warnings);
    let mut buffer = Vec::with_capacity(written.spec_json.len() + 512);
    document(&mut buffer, written, &warnings)?;
    let status = match written.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Replaced | Outcome::Published | Outcome::Unchanged | Outcome::Removed => {
            StatusCode::OK
        }
        Outcome::Deleting | Outcome::Underway => StatusCode::ACCEPTED,
    };
    let mut response = json(status, buffer);
    response.extensions_mut().insert(Effects::of(std::slice::from_ref(written)));
    let headers = response.headers_mut();
    let tag = format!("\"{}\"", written.revision);
    headers.extend(etag::header_value(&tag).map(|tag| (header::ETAG, tag)));
    if written.outcome == Outcome::Created {
        headers.extend(HeaderValue::from_str(path).ok().map(|path| (header::LOCATION, path)));
    }
    Ok(response)
}

/// The answer to a removal: the document as it is stored now. In a dry run, as it would be, and what
/// would be written with it; no effect is recorded, since there is none.
pub(crate) fn removed(written: &Written, is_dry_run: bool) -> Answer {
    if !is_dry_run {
        return self::written(written, Vec::new(), "");
    }
    let mut buffer = Vec::with_capacity(written.spec_json.len() + 512);
    let mut object = Object::new(&mut buffer);
    object.field("dry_run", &true)?;
    fields(object, written, &written.warnings)?;
    Ok(json(StatusCode::OK, buffer))
}

/// What kind of document is under `key`, and its name, as answers tell them.
pub(crate) fn kind_and_name(key: &Key) -> (&'static str, &str) {
    match key {
        Key::Package(name) => ("Package", name.as_str()),
        Key::Deployment(key) => ("Deployment", key.as_str()),
        Key::Cluster(name) => ("Cluster", name.as_str()),
        Key::Bundle(name) => ("Bundle", name.as_str()),
        _ => ("", ""),
    }
}
