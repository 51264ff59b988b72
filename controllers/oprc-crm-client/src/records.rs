//! Records as they come: pages and events.
//!
//! Invariant: a record that cannot be read is left out only if it says that it is not ours. One of
//! ours that is garbled makes the page an error, for nothing may be concluded from its absence.

use oprc_models::{
    crm::{RecordEvent, RecordEventType, RecordPage},
    record::DeploymentRecord,
};
use serde_json::Value;

use crate::{
    CallError,
    answer::{Cause, parse},
};

/// A page of records, without the strangers' that cannot be read, and how many those are.
pub(crate) fn page(body: &[u8], owner: &str) -> Result<(RecordPage, u64), CallError> {
    let (mut page, n_skipped) = match parse::<RecordPage>(body) {
        Ok(page) => (page, 0),
        Err(err) => page_without_strangers(body, owner).ok_or(err)?,
    };
    page.r#continue = page.r#continue.filter(|token| !token.is_empty());
    Ok((page, n_skipped))
}

fn page_without_strangers(body: &[u8], owner: &str) -> Option<(RecordPage, u64)> {
    let mut page: Value = parse(body).ok()?;
    let items = page.get_mut("items")?.as_array_mut()?;
    let mut records = Vec::new();
    let mut n_skipped = 0;
    for item in std::mem::take(items) {
        let is_strangers = is_strangers(&item, owner);
        match serde_json::from_value::<DeploymentRecord>(item) {
            Ok(record) => records.push(record),
            Err(_) if is_strangers => n_skipped += 1,
            Err(_) => return None,
        }
    }
    let mut page: RecordPage = serde_json::from_value(page).ok()?;
    page.items = records;
    Some((page, n_skipped))
}

/// The data of a watch's event; a stranger's record that cannot be read becomes a bookmark.
pub(crate) fn event(data: &[u8], owner: &str) -> Result<RecordEvent, CallError> {
    let event = match parse::<RecordEvent>(data) {
        Ok(event) => event,
        Err(err) => bookmark_of_strangers(data, owner).ok_or(err)?,
    };
    if event.record.is_none() && event.r#type != RecordEventType::Bookmark {
        return Err(Cause::garbage("an event without its record"));
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
