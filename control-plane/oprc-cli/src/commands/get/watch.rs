//! `oprc get -w`: what there is, then what changes, until interrupted.
//!
//! The list is asked for again and again; the server says "not changed" by its entity tag. In JSON
//! and YAML each change is an event `{type, object}`; in a table it is the row as it is now.

use std::{collections::BTreeMap, time::Duration};

use oprc_client::Client;
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

pub(super) async fn run(
    source: &Source,
    format: Format,
    client: &Client,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let mut patience = Patience::new(Duration::MAX, PACE);
    let mut watch = Watch { source, format, known: BTreeMap::new(), table: None };
    // Before the first answer a failure is a wrong name or server, later it is a pause.
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
