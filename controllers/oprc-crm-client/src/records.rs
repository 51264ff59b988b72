//! Records as they come: pages and events.
//!
//! Invariants:
//! - a record that cannot be read is left out without a trace only if it says that it is not ours;
//!   any other one is reported with its page, for nothing may be concluded from its absence;
//! - what is returned is clipped, see [`crate::clip`].

use oprc_models::{
    crm::{RecordEvent, RecordEventType, RecordPage},
    names::UnitId,
    nulls::NullIsAbsent,
    record::DeploymentRecord,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    CallError, Page, Unreadable,
    answer::{Cause, clipped, parse, parse_strictly},
    clip::{MAX_TOKEN_BYTES, bound},
};

/// The longest reason that is kept of an unreadable record, in characters.
const MAX_REASON_CHARS: usize = 200;

/// A page of records and the number of unreadable records of strangers that were left out.
pub(crate) fn page(body: &[u8], owner: &str) -> Result<(Page, u64), CallError> {
    let (mut page, n_skipped) = match parse_strictly::<RecordPage>(body) {
        Ok(page) => (Page::from(page), 0),
        Err(_) => page_by_record(body, owner)?,
    };
    page.r#continue = page.r#continue.filter(|token| !token.is_empty());
    if page.r#continue.as_ref().is_some_and(|token| token.len() > MAX_TOKEN_BYTES) {
        return Err(Cause::garbage("a page's continue is too long"));
    }
    page.items.iter_mut().for_each(bound);
    Ok((page, n_skipped))
}

/// Reads each record on its own, so that one does not hide the others.
fn page_by_record(body: &[u8], owner: &str) -> Result<(Page, u64), CallError> {
    let mut page: Value = parse(body)?;
    let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
        return Err(Cause::garbage("a page without items"));
    };
    if let Value::Object(fields) = &mut page {
        fields.insert("items".to_owned(), Value::Array(Vec::new()));
    }
    let head: RecordPage =
        NullIsAbsent(page).read().map_err(|err| Cause::garbage(&err.to_string()))?;
    let mut page = Page::from(head);
    let mut n_skipped = 0;
    for item in items {
        let is_strangers = is_strangers(&item, owner);
        let id = item.get("id").and_then(|id| UnitId::deserialize(id).ok());
        match NullIsAbsent(item).read::<DeploymentRecord>() {
            Ok(record) => page.items.push(record),
            Err(_) if is_strangers => n_skipped += 1,
            Err(err) => {
                let reason = clipped(&err.to_string(), MAX_REASON_CHARS);
                page.unreadable.push(Unreadable { id, reason });
            }
        }
    }
    Ok((page, n_skipped))
}

/// The data of a watch's event; a stranger's record that cannot be read becomes a bookmark.
pub(crate) fn event(data: &[u8], owner: &str) -> Result<RecordEvent, CallError> {
    let mut event = match parse::<RecordEvent>(data) {
        Ok(event) => event,
        Err(err) => bookmark_of_strangers(data, owner).ok_or(err)?,
    };
    if event.record.is_none() && event.r#type != RecordEventType::Bookmark {
        return Err(Cause::garbage("an event without its record"));
    }
    if let Some(record) = &mut event.record {
        bound(record);
    }
    Ok(event)
}

fn bookmark_of_strangers(data: &[u8], owner: &str) -> Option<RecordEvent> {
    let event: Value = parse(data).ok()?;
    if !is_strangers(event.get("record")?, owner) {
        return None;
    }
    let revision = event.get("revision")?.as_u64()?;
    Some(RecordEvent { r#type: RecordEventType::Bookmark, revision, record: None })
}

/// Whether `record` says that somebody else, or nobody, asked for it.
fn is_strangers(record: &Value, owner: &str) -> bool {
    let Value::Object(record) = record else { return false };
    match record.get("owner") {
        None => true,
        Some(Value::String(other)) => other != owner,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;
