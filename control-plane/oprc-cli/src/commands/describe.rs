//! `oprc describe`: one thing, told for a person.

mod page;
mod sections;

use oprc_client::Client;

use super::{events, get::source::one};
use crate::{Io, error::Error, kind::Target};

pub(crate) async fn run(words: &[String], client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let (kind, name) = Target::one(words)?;
    let item = one(client, kind, &name).await?;
    let now = (io.now)();
    let mut page = page::Page::new(&mut io.out);
    sections::describe(kind, &item, now, &mut page);
    let Some(about) = events::about(kind, &name) else { return Ok(()) };
    match events::fetch(client, Some(&about)).await {
        Ok(found) => {
            let present = found.iter().filter(|event| events::is_of(event, &item));
            let rows: Vec<_> = present.map(|event| events::cells(event, now)).collect();
            page.table("Events", &events::COLUMNS, &rows);
        }
        // What else there is to tell stands without them; that there are none is not what is said.
        Err(err) => page.fact("Events", &format!("not known: {}", err.line())),
    }
    Ok(())
}
