//! `oprc schema`: the JSON Schema of a document, for editors and checkers.
//!
//! It is this version's own, made of the same types that check a document before it is sent; no server
//! is asked.

use oprc_models::schema;

use crate::{Io, error::Error};

pub(crate) fn run(kind: &str, io: &mut Io<'_>) -> Result<(), Error> {
    let known = schema::KINDS.iter().find(|(name, _)| *name == kind);
    let Some((_, make)) = known else {
        let names: Vec<&str> = schema::KINDS.iter().map(|(name, _)| *name).collect();
        let message = format!("{kind:?} has no schema: want one of {}", names.join(", "));
        return Err(Error::usage(message));
    };
    io.out.line(&format!("{:#}", make()));
    Ok(())
}
