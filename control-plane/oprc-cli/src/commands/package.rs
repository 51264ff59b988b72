//! `oprc package versions`, and `oprc get package --version`: what is published of a package.

use oprc_client::Client;
use serde_json::{Value, json};

use crate::{
    Io,
    args::{Format, Package},
    commands::get::print_document,
    error::Error,
    kind::{Kind, Target},
    output::{age, columns::text, table::Table},
};

pub(crate) async fn run(args: &Package, client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let Package::Versions { name, output } = args;
    let mut answer = client.list_package_versions(name).read_as::<Value>().send().await?;
    let Some(Value::Array(items)) = answer.body.get_mut("items").map(Value::take) else {
        return Err(client.odd("a list without items").into());
    };
    match output {
        Format::Table | Format::Wide => table(&items, *output == Format::Wide, io),
        Format::Name => items.iter().for_each(|item| io.out.line(&text(item, "/version"))),
        Format::Json | Format::Yaml => print_document(*output, &json!({ "items": items }), io)?,
    }
    Ok(())
}

fn table(items: &[Value], is_wide: bool, io: &mut Io<'_>) {
    if items.is_empty() {
        io.err.line("no versions found");
        return;
    }
    let mut headings = vec!["VERSION", "CURRENT", "IN USE", "AGE"];
    if is_wide {
        headings.push("CONTENT");
    }
    let now = (io.now)();
    let star = |item: &Value, field: &str| {
        if item.get(field) == Some(&json!(true)) { "*" } else { "" }.to_owned()
    };
    let row = |item: &Value| {
        let mut row = vec![
            text(item, "/version"),
            star(item, "current"),
            star(item, "in_use"),
            age::since(item.get("created_at"), now),
        ];
        row.extend(is_wide.then(|| text(item, "/content_hash")));
        row
    };
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    let table = Table::new(&headings, &rows);
    table.line(&mut io.out, &headings);
    rows.iter().for_each(|row| table.line(&mut io.out, row));
}

/// What is published of the one package meant, under `version`.
pub(super) async fn published(
    target: &Target,
    version: &str,
    client: &Client,
) -> Result<Value, Error> {
    let (Kind::Package, Some(name)) = (target.kind, &target.name) else {
        return Err(Error::usage("--version: want one package, for example package shop"));
    };
    let call = client.get_package(name).query("version", version);
    Ok(call.read_as::<Value>().send().await?.body)
}
