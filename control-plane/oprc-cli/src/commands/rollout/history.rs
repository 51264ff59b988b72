//! `oprc rollout history`, `diff` and `undo`: what something was.

use oprc_client::Client;
use serde_json::{Value, json};

use crate::{
    Io,
    args::{Format, History, RolloutDiff},
    commands::{
        compare::{Compared, canonical},
        diff,
        get::print_document,
    },
    error::Error,
    kind::{Kind, Target},
    output::{
        age,
        columns::{source, text},
        table::Table,
    },
};

/// The one package or deployment meant.
fn kept(target: &[String]) -> Result<(Kind, String), Error> {
    let (kind, name) = Target::one(target)?;
    if matches!(kind, Kind::Package | Kind::Deployment) {
        return Ok((kind, name));
    }
    Err(Error::usage(format!("of a {kind} no history is kept")))
}

/// What there is of it, the newest first.
async fn list(client: &Client, kind: Kind, name: &str) -> Result<Vec<Value>, Error> {
    let call = match kind {
        Kind::Package => client.list_package_revisions(name),
        _ => client.list_deployment_revisions(name),
    };
    let mut answer = call.read_as::<Value>().send().await?;
    match answer.body.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(client.odd("a list without items").into()),
    }
}

fn generation(item: &Value) -> Option<u64> {
    item.get("generation").and_then(Value::as_u64)
}

/// The newest generation that is kept before `newest`, of `items`.
fn before(items: &[Value], newest: Option<u64>) -> Option<u64> {
    let kept = items.iter().filter_map(generation);
    kept.filter(|kept| newest.is_none_or(|newest| *kept < newest)).max()
}

/// The document as it was at `generation`, without the system's fields.
async fn at(client: &Client, kind: Kind, name: &str, generation: u64) -> Result<Value, Error> {
    let generation = generation.to_string();
    let mut document = match kind {
        Kind::Package => {
            client.get_package_revision(name, &generation).read_as::<Value>().send().await?
        }
        _ => client.get_deployment_revision(name, &generation).read_as::<Value>().send().await?,
    };
    if let Some(fields) = document.body.as_object_mut() {
        fields.remove("meta");
        fields.remove("current");
    }
    Ok(document.body)
}

pub(super) async fn show(
    args: &History,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let (kind, name) = kept(&args.target)?;
    let client = client()?;
    if let Some(generation) = args.revision {
        let document = at(&client, kind, &name, generation).await?;
        let is_json = args.output == Format::Json;
        return print_document(if is_json { Format::Json } else { Format::Yaml }, &document, io);
    }
    let items = list(&client, kind, &name).await?;
    match args.output {
        Format::Table | Format::Wide => {
            table(&items, args.output == Format::Wide, io);
            Ok(())
        }
        Format::Name => {
            let numbers = items.iter().filter_map(generation);
            numbers.for_each(|number| io.out.line(&number.to_string()));
            Ok(())
        }
        Format::Json | Format::Yaml => print_document(args.output, &json!({ "items": items }), io),
    }
}

fn table(items: &[Value], is_wide: bool, io: &mut Io<'_>) {
    let mut headings = vec!["GENERATION", "CURRENT", "BY", "SOURCE", "NOTE", "AGE"];
    if is_wide {
        headings.push("CORRELATION-ID");
    }
    let now = (io.now)();
    let row = |item: &Value| {
        let mut row = vec![
            text(item, "/generation"),
            if item.get("current") == Some(&json!(true)) { "*" } else { "" }.to_owned(),
            text(item, "/written_by"),
            source(item),
            text(item, "/note"),
            age::since(item.get("updated_at"), now),
        ];
        if is_wide {
            row.push(text(item, "/correlation_id"));
        }
        row
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let table = Table::new(&headings, &rows);
    table.line(&mut io.out, &headings);
    rows.iter().for_each(|row| table.line(&mut io.out, row));
}

pub(super) async fn diff(
    args: &RolloutDiff,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let (kind, name) = kept(&args.target)?;
    let client = client()?;
    let items = list(&client, kind, &name).await?;
    let to = args.to.or_else(|| before(&items, None));
    let from = args.from.or_else(|| before(&items, to));
    let (Some(from), Some(to)) = (from, to) else {
        return Err(Error::usage(format!(
            "{kind}/{name} was never anything else, as far as is kept"
        )));
    };
    let compared = Compared {
        subject: format!("{kind}/{name}"),
        before: Some(canonical(kind, at(&client, kind, &name, from).await?)),
        after: Some(canonical(kind, at(&client, kind, &name, to).await?)),
    };
    let is_same = compared.before == compared.after;
    diff::show(
        &compared,
        [&format!("generation {from}"), &format!("generation {to}")],
        &mut io.out,
    )?;
    if is_same { Ok(()) } else { Err(Error::Different) }
}

pub(super) async fn undo(
    target: &[String],
    to: Option<u64>,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let (kind, name) = kept(target)?;
    let client = client()?;
    let to = match to {
        Some(to) => to,
        None => {
            let items = list(&client, kind, &name).await?;
            let current = before(&items, None);
            before(&items, current).ok_or_else(|| {
                Error::usage(format!("nothing is kept of what {kind}/{name} was before"))
            })?
        }
    };
    let body = json!({ "generation": to }).to_string();
    let answer = match kind {
        Kind::Package => client.rollback_package(&name, &body).read_as::<Value>().send().await?,
        _ => client.rollback_deployment(&name, &body).read_as::<Value>().send().await?,
    };
    let now = text(&answer.body, "/meta/generation");
    io.out.line(&format!("{kind}/{name} is as it was at generation {to}, as generation {now}"));
    Ok(())
}
