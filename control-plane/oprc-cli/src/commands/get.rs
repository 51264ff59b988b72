//! `oprc get`: lists things, or shows one; with `-w`, what changes.

pub(super) mod source;
mod watch;

use oprc_client::Client;
use serde_json::{Value, json};

use crate::{
    Io,
    args::{Format, Get},
    commands::package,
    error::Error,
    kind::{Kind, Target},
    output::{columns, table::Table, yaml},
};
use source::Source;

pub(crate) async fn run(args: &Get, client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let target = Target::parse(&args.target)?;
    if let Some(version) = &args.version {
        let found = vec![package::published(&target, version, client).await?];
        return print(target.kind, args.output, found, true, io);
    }
    let source = Source::new(target, args)?;
    if args.watch {
        return watch::run(&source, args.output, client, io).await;
    }
    let found = source.fetch(client, None).await?.items;
    print(source.kind(), args.output, found, source.is_single(), io)
}

fn print(
    kind: Kind,
    output: Format,
    found: Vec<Value>,
    is_single: bool,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    match (output, is_single) {
        (Format::Table | Format::Wide, _) => {
            let is_wide = output == Format::Wide;
            print_table(kind, is_wide, &found, io);
        }
        (Format::Name, _) => {
            found.iter().for_each(|item| io.out.line(&format!("{kind}/{}", kind.name_of(item))));
        }
        (Format::Json | Format::Yaml, is_single) => {
            let mut found = found;
            let document = if is_single { found.swap_remove(0) } else { json!({ "items": found }) };
            print_document(output, &document, io)?;
        }
    }
    Ok(())
}

pub(super) fn print_document(
    format: Format,
    document: &Value,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    if format == Format::Yaml {
        io.out.text(&yaml::to_text(document)?);
    } else {
        // Pretty, as people look at it too; `{:#}` of a JSON value cannot fail.
        io.out.line(&format!("{document:#}"));
    }
    Ok(())
}

fn print_table(kind: Kind, is_wide: bool, items: &[Value], io: &mut Io<'_>) {
    if items.is_empty() {
        io.err.line(&format!("no {} found", kind.plural()));
        return;
    }
    let now = (io.now)();
    let headings = columns::headings(kind, is_wide);
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| columns::cells(kind, is_wide, item, now)).collect();
    let table = Table::new(&headings, &rows);
    table.line(&mut io.out, &headings);
    rows.iter().for_each(|row| table.line(&mut io.out, row));
}
