//! `oprc describe`: one thing, told for a person.

mod page;
mod sections;

use oprc_client::Client;

use super::get::source::one;
use crate::{Io, error::Error, kind::Target};

pub(crate) async fn run(words: &[String], client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let (kind, name) = Target::one(words)?;
    let item = one(client, kind, &name).await?;
    let now = (io.now)();
    let mut page = page::Page::new(&mut io.out);
    sections::describe(kind, &item, now, &mut page);
    Ok(())
}
