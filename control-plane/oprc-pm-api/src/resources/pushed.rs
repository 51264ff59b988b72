//! A document that is pushed by itself, as far as all kinds go the same way. Never writes.

use std::fmt::Display;

use oprc_models::{
    document::{self, Node, Parsed},
    problem::Violation,
};

use crate::{
    body,
    call::{App, By, Call},
    error::ApiError,
    etag,
    reading::IsCancelled,
    writes::{Conditions, Push, Verb},
};

/// What came with a document, and what it was read as.
pub(super) struct Pushed<T> {
    pub(super) document: T,
    pub(super) warnings: Vec<Violation>,
    pub(super) conditions: Conditions,
    pub(super) by: By,
}

impl<T> Pushed<T> {
    /// Takes the query's `strict` and `if_unchanged`, the conditions and the body.
    pub(super) async fn read(
        app: &App,
        mut call: Call,
        parse: fn(Node) -> Result<Parsed<T>, Vec<Violation>>,
    ) -> Result<Self, ApiError>
    where
        T: Send + 'static,
    {
        let mut params = call.params()?;
        let is_strict = params.flag("strict")?;
        let if_unchanged = params.flag("if_unchanged")?;
        params.finish()?;
        let conditions = etag::conditions(&call.headers)?;
        let received = body::read(app, &mut call, app.limits.max_body_bytes).await?;
        let read = move |bytes: &[u8], format, is_cancelled: IsCancelled<'_>| {
            let node = document::document(bytes, format, is_cancelled)?;
            Ok((document::read_as(&node), parse(node)?))
        };
        let read = app.readers.read(received, read).await?;
        let (read_as, parsed) = read.map_err(ApiError::invalid_document)?;
        let conditions = Conditions { read_as, if_unchanged, ..conditions };
        let Parsed { value, warnings } = body::accept(Ok(parsed), is_strict)?;
        Ok(Self { document: value, warnings, conditions, by: call.by })
    }

    /// The write that is asked for, of `spec`.
    pub(super) fn push<'a, S>(&'a self, spec: &'a S, verb: Verb) -> Push<'a, S> {
        Push { spec, verb, conditions: &self.conditions, by: self.by.provenance() }
    }
}

/// A document whose `name`, which stands at `pointer`, is the one in the path, if the path has one.
pub(super) fn check_name<N: Display + PartialEq>(
    in_path: Option<&N>,
    name: &N,
    pointer: &str,
) -> Result<(), ApiError> {
    match in_path {
        Some(wanted) if wanted != name => {
            let message = format!("want {wanted}, as the path says, not {name}");
            let errors = vec![Violation::new(pointer, message.clone())];
            Err(ApiError::bad_request("name_mismatch", message).with_errors(errors))
        }
        _ => Ok(()),
    }
}
