//! `oprc events`: what was decided and met with, and why; also a part of `oprc describe`.

use jiff::Timestamp;
use oprc_client::Client;
use oprc_models::{
    event::Severity,
    view::{Event, Page},
};
use serde_json::Value;

use crate::{
    Io,
    error::Error,
    kind::{Kind, Target},
    output::{age::length, table::Table},
};

/// The columns, after what an event is about.
pub(super) const COLUMNS: [&str; 5] = ["LAST", "TYPE", "REASON", "COUNT", "MESSAGE"];

pub(crate) async fn run(
    about: Option<&str>,
    client: &Client,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let about = about.map(target).transpose()?;
    let events = fetch(client, about.as_deref()).await?;
    if events.is_empty() {
        io.err.line("no events found");
        return Ok(());
    }
    let now = (io.now)();
    let mut headings = vec!["ABOUT"];
    headings.extend(COLUMNS);
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| std::iter::once(event.spec.about.clone()).chain(cells(event, now)).collect())
        .collect();
    let headings: Vec<String> = headings.into_iter().map(str::to_owned).collect();
    let names: Vec<&str> = headings.iter().map(String::as_str).collect();
    let table = Table::new(&names, &rows);
    table.line(&mut io.out, &headings);
    rows.iter().for_each(|row| table.line(&mut io.out, row));
    Ok(())
}

/// `KIND/NAME` as the server has it.
fn target(words: &str) -> Result<String, Error> {
    let (kind, name) = Target::one(&[words.to_owned()])?;
    about(kind, &name).ok_or_else(|| Error::usage(format!("there are no events about a {kind}")))
}

/// What events about this thing are about; `None`: there are none.
pub(super) fn about(kind: Kind, name: &str) -> Option<String> {
    match kind {
        Kind::Package | Kind::Deployment | Kind::Cluster => Some(format!("{kind}/{name}")),
        Kind::Record | Kind::Class | Kind::Function | Kind::Bundle | Kind::RoleBinding => None,
    }
}

/// The events, the newest last.
pub(super) async fn fetch(client: &Client, about: Option<&str>) -> Result<Vec<Event>, Error> {
    let mut call = client.list_events().read_as::<Page<Event>>();
    if let Some(about) = about {
        call = call.query("about", about);
    }
    let mut events = call.all(None).await?;
    events.sort_by_key(|event| event.beside.last);
    Ok(events)
}

/// Returns `true` if the event happened to `object` as it is now, and not to an earlier incarnation
/// of its name. Of an event without a uid the time decides.
pub(super) fn is_of(event: &Event, object: &Value) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let Some(present) = text("/meta/uid") else { return true };
    match &event.beside.uid {
        Some(uid) => uid == present,
        None => {
            let created = text("/meta/created_at").and_then(|at| at.parse::<Timestamp>().ok());
            created.is_none_or(|created| event.beside.last >= created)
        }
    }
}

/// The cells of [`COLUMNS`].
pub(super) fn cells(event: &Event, now: Timestamp) -> Vec<String> {
    let event = &event.beside;
    let severity = match event.severity {
        Severity::Normal => "Normal",
        Severity::Warning => "Warning",
    };
    vec![
        length(now.duration_since(event.last).as_secs()),
        severity.to_owned(),
        event.reason.clone(),
        event.count.to_string(),
        if event.message.is_empty() { "-".to_owned() } else { event.message.clone() },
    ]
}
