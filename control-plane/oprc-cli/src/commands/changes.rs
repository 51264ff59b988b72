//! What changes of the things that are waited for, told by the server's watch: nothing is asked while
//! nothing happens.
//!
//! It begins at the present. When the connection ends, the watch is resumed after the last event; when
//! the server does not remember that far back, all is asked for again. What cannot be watched is asked
//! for at a pace instead.

use oprc_client::{Client, Event, Events};
use serde_json::Value;
use tokio::time::timeout;

use super::poll::Patience;
use crate::{error::Error, kind::Kind};

/// What is to be asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// All of it: it is not known what changed.
    All,
    /// The one of this name.
    One(String),
}

/// Tells what changes of a kind of thing.
pub(super) struct Changes<'c> {
    client: &'c Client,
    kind: Kind,
    /// The one thing of interest; none: several.
    name: Option<String>,
    events: Option<Events<'c>>,
    /// The event to go on after; none: the present.
    last_id: Option<String>,
    /// Whether it is no use to watch.
    is_unwatchable: bool,
}

impl<'c> Changes<'c> {
    /// The changes of all of `kind`, or of the one of this name.
    pub(super) fn new(client: &'c Client, kind: Kind, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self { client, kind, name, events: None, last_id: None, is_unwatchable: false }
    }

    /// Waits for the next change. `None`: the time is over.
    pub(super) async fn next(&mut self, patience: &Patience) -> Option<Change> {
        loop {
            let left = patience.left();
            if left.is_zero() {
                return None;
            }
            if self.is_unwatchable {
                return patience.pause().await.then_some(Change::All);
            }
            let Some(events) = &mut self.events else {
                let is_anew = self.last_id.is_none();
                match timeout(left, self.open()).await {
                    Err(_) => return None,
                    // What changed before it began is not told.
                    Ok(Ok(())) if is_anew => return Some(Change::All),
                    Ok(Ok(())) => continue,
                    Ok(Err(failure)) if failure.is_gone() => self.last_id = None,
                    // Whatever else it is, those who ask are told.
                    Ok(Err(failure)) => self.is_unwatchable = !failure.is_transient(),
                }
                return patience.pause().await.then_some(Change::All);
            };
            match timeout(left, events.next()).await {
                Err(_) => return None,
                Ok(Ok(Some(event))) if event.what != "ERROR" => {
                    if let Some(change) = self.take(event) {
                        return Some(change);
                    }
                }
                Ok(ended) => {
                    if matches!(ended, Ok(Some(_))) {
                        // It fell behind what the server remembers.
                        self.last_id = None;
                    }
                    self.events = None;
                    patience.pause().await;
                }
            }
        }
    }

    /// Opens the watch after the last event, or now.
    async fn open(&mut self) -> Result<(), Error> {
        let id = match &self.last_id {
            Some(id) => id.clone(),
            None => {
                let page = self.kind.list(self.client).query("limit", "1").send().await?;
                page.body.revision.to_string()
            }
        };
        let mut call = self.kind.list(self.client);
        // A part of the name is all that it filters by; see `take`.
        if let Some(name) = self.name.clone().filter(|_| self.kind != Kind::Record) {
            call = call.query("name", name);
        }
        self.events = call.watch(Some(&id)).await?;
        self.is_unwatchable = self.events.is_none();
        self.last_id = Some(id);
        Ok(())
    }

    /// What an event says is to be asked for.
    fn take(&mut self, Event { what, id, data }: Event) -> Option<Change> {
        self.last_id = id.or(self.last_id.take());
        // Now and then: what is no change of an object shows only to who asks.
        if what == "BOOKMARK" {
            return Some(Change::All);
        }
        let name = self.kind.name_of(data.get("object").unwrap_or(&Value::Null));
        let is_meant = self.name.as_ref().is_none_or(|meant| meant == name);
        is_meant.then(|| Change::One(name.to_owned()))
    }
}
