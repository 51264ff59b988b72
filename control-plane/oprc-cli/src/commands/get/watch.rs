//! `oprc get -w`: what there is, then what changes, until interrupted.
//!
//! The server tells each change. When the connection ends, the watch is resumed after the last event;
//! when the server does not remember that far back, it tells all there is again, and what differs is
//! shown. What cannot be watched (parts of packages, a page of a list, an older server) is asked for
//! again and again instead; the server says "not changed" by its entity tag.
//!
//! In JSON and YAML each change is an event `{type, object}`; in a table it is the row as it is now.

use std::{collections::BTreeMap, time::Duration};

use oprc_client::{Client, Event, Events};
use serde_json::{Value, json};

use super::{super::poll::Patience, Source};
use crate::{
    Io,
    args::Format,
    error::Error,
    output::{columns, table::Table, yaml},
};

/// How often is asked.
const PACE: Duration = Duration::from_secs(1);

/// Why a watch ended.
enum End {
    /// It can be resumed.
    Broken,
    /// The one thing asked for is gone.
    Gone,
    /// It cannot be watched.
    Unwatchable,
}

pub(super) async fn run(
    source: &Source,
    format: Format,
    client: &Client,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let mut patience = Patience::new(Duration::MAX, PACE);
    let mut watch = Watch { source, format, known: BTreeMap::new(), table: None };
    let mut place = Place::default();
    while !io.out.is_closed() {
        match follow(&mut watch, &mut place, client, io).await {
            Ok(End::Gone) => return Ok(()),
            Ok(End::Unwatchable) => return poll(watch, client, io).await,
            Ok(End::Broken) => {}
            Err(failure) if place.is_too_old(&failure) => place.last_id = None,
            // Before the first answer a failure is a wrong name or server, later it is a pause.
            Err(failure) if !place.has_begun => return Err(failure),
            Err(failure) => {
                patience.forgive(Err::<(), _>(failure), &mut io.err)?;
            }
        }
        patience.pause().await;
    }
    Ok(())
}

/// How far the watch is.
#[derive(Default)]
struct Place {
    /// The event to resume after; `None`: all there is comes first.
    last_id: Option<String>,
    /// Whether all there is was shown once.
    has_begun: bool,
}

impl Place {
    fn is_too_old(&self, failure: &Error) -> bool {
        failure.is_gone() && self.last_id.is_some()
    }
}

/// Shows what changes until the watch ends.
async fn follow(
    watch: &mut Watch<'_>,
    place: &mut Place,
    client: &Client,
    io: &mut Io<'_>,
) -> Result<End, Error> {
    let events = watch.source.watch(client, place.last_id.as_deref()).await?;
    let Some(mut events) = events else { return Ok(End::Unwatchable) };
    if place.last_id.is_none() && !begin(watch, place, &mut events, client, io).await? {
        return Ok(End::Broken);
    }
    if watch.source.is_single() && watch.known.is_empty() {
        return Ok(End::Gone);
    }
    while let Some(Event { what, id, mut data }) = events.next().await? {
        if what == "ERROR" {
            place.last_id = None;
            return Ok(End::Broken);
        }
        place.last_id = id.or(place.last_id.take());
        let item = data["object"].take();
        if what == "BOOKMARK" || !watch.source.has(&item) {
            continue;
        }
        watch.change(&what, item, io)?;
        if watch.source.is_single() && watch.known.is_empty() {
            return Ok(End::Gone);
        }
        if io.out.is_closed() {
            break;
        }
    }
    Ok(End::Broken)
}

/// Takes all there is, and shows what of it is new. Returns false where it did not come to its end.
async fn begin(
    watch: &mut Watch<'_>,
    place: &mut Place,
    events: &mut Events<'_>,
    client: &Client,
    io: &mut Io<'_>,
) -> Result<bool, Error> {
    // What changes while it is told comes as a change.
    let mut items: BTreeMap<String, Value> = BTreeMap::new();
    while let Some(Event { what, id, mut data }) = events.next().await? {
        let item = data["object"].take();
        let key = watch.source.kind().id_of(&item);
        match what.as_str() {
            "BOOKMARK" => {
                if items.is_empty() && !place.has_begun {
                    // Of one thing that is not there, the server has the words.
                    watch.source.missing(client).await?;
                }
                (place.last_id, place.has_begun) = (id, true);
                watch.show(items.into_values().collect(), io)?;
                return Ok(true);
            }
            "ERROR" => return Ok(false),
            "DELETED" => drop(items.remove(&key)),
            _ if watch.source.has(&item) => drop(items.insert(key, item)),
            _ => {}
        }
    }
    Ok(false)
}

/// Asks again and again.
async fn poll(mut watch: Watch<'_>, client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let source = watch.source;
    let mut patience = Patience::new(Duration::MAX, PACE);
    let first = source.fetch(client, None).await?;
    let mut etag = first.etag;
    watch.show(first.items, io)?;
    while !io.out.is_closed() {
        patience.pause().await;
        let answer = match source.fetch(client, etag.as_deref()).await {
            Err(err) if err.is_not_found() => {
                watch.show(Vec::new(), io)?;
                return Ok(()); // The one thing asked for is gone.
            }
            answer => patience.forgive(answer, &mut io.err)?,
        };
        if let Some(found) = answer.filter(|found| !found.is_unchanged) {
            etag = found.etag;
            watch.show(found.items, io)?;
        }
    }
    Ok(())
}

struct Watch<'a> {
    source: &'a Source,
    format: Format,
    known: BTreeMap<String, Value>,
    table: Option<Table>,
}

impl Watch<'_> {
    /// Shows what of `items` is not as it was, then what is gone.
    fn show(&mut self, items: Vec<Value>, io: &mut Io<'_>) -> Result<(), Error> {
        let kind = self.source.kind();
        let mut gone = std::mem::take(&mut self.known);
        let mut changes = Vec::new();
        for item in items {
            let id = kind.id_of(&item);
            match gone.remove(&id) {
                Some(before) if before == item => {}
                Some(_) => changes.push(("MODIFIED", item.clone())),
                None => changes.push(("ADDED", item.clone())),
            }
            self.known.insert(id, item);
        }
        changes.extend(gone.into_values().map(|item| ("DELETED", item)));
        self.tell(changes, io)
    }

    /// Shows one change.
    fn change(&mut self, what: &str, item: Value, io: &mut Io<'_>) -> Result<(), Error> {
        let id = self.source.kind().id_of(&item);
        let change = if what == "DELETED" {
            self.known.remove(&id);
            "DELETED"
        } else if self.known.insert(id, item.clone()).is_none() {
            "ADDED"
        } else {
            "MODIFIED"
        };
        self.tell(vec![(change, item)], io)
    }

    fn tell(&mut self, changes: Vec<(&str, Value)>, io: &mut Io<'_>) -> Result<(), Error> {
        match self.format {
            Format::Table | Format::Wide => self.rows(&changes, io),
            Format::Json | Format::Yaml | Format::Name => {
                for (change, object) in changes {
                    self.event(change, &object, io)?;
                }
            }
        }
        Ok(())
    }

    fn rows(&mut self, changes: &[(&str, Value)], io: &mut Io<'_>) {
        let (kind, is_wide) = (self.source.kind(), self.format == Format::Wide);
        let now = (io.now)();
        let rows: Vec<Vec<String>> =
            changes.iter().map(|(_, item)| columns::cells(kind, is_wide, item, now)).collect();
        let table = self.table.get_or_insert_with(|| {
            let headings = columns::headings(kind, is_wide);
            let table = Table::new(&headings, &rows);
            table.line(&mut io.out, &headings);
            table
        });
        for ((change, _), mut row) in changes.iter().zip(rows) {
            if *change == "DELETED" {
                row.push("(deleted)".to_owned());
            }
            table.line(&mut io.out, &row);
        }
    }

    fn event(&self, change: &str, object: &Value, io: &mut Io<'_>) -> Result<(), Error> {
        let kind = self.source.kind();
        let event = json!({ "type": change, "object": object });
        match self.format {
            Format::Yaml => io.out.text(&format!("---\n{}", yaml::to_text(&event)?)),
            Format::Json => io.out.line(&event.to_string()),
            Format::Name | Format::Table | Format::Wide => {
                let gone = if change == "DELETED" { " deleted" } else { "" };
                io.out.line(&format!("{kind}/{}{gone}", kind.name_of(object)));
            }
        }
        Ok(())
    }
}
