//! Query parameters: each is known, or the request is refused.
//!
//! A misspelt filter must not answer everything, and a misspelt `cascade` must not do less than was
//! meant without a word.

use std::str::FromStr;

use http::Uri;

use crate::error::ApiError;

/// The longest query, in bytes, and the most parameters.
const MAX_QUERY_BYTES: usize = 8192;
const MAX_PARAMETERS: usize = 64;

/// The parameters of one request. Take what is known, then [`Params::finish`].
#[derive(Debug)]
pub(crate) struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
}

fn invalid(detail: String) -> ApiError {
    ApiError::bad_request("invalid_parameter", detail)
}

impl Params {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        if uri.query().is_none() {
            return Ok(Self { given: Vec::new(), known: Vec::new() });
        }
        if uri.query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
            return Err(invalid(format!("the query is longer than {MAX_QUERY_BYTES} bytes")));
        }
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let axum::extract::Query(given) = query.map_err(|error| invalid(error.to_string()))?;
        if given.len() > MAX_PARAMETERS {
            return Err(invalid(format!("more than {MAX_PARAMETERS} parameters")));
        }
        Ok(Self { given, known: Vec::new() })
    }

    /// All values of `name`, in order.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.given.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// The value of `name`, given at most once.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() { Ok(value) } else { Err(invalid(format!("{name} is given twice"))) }
    }

    /// The value of `name`, as a `T`.
    pub(crate) fn get<T: FromStr<Err: std::fmt::Display>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| invalid(format!("{name}: {error}")))
    }

    /// Whether the flag `name` is set: `true`, or the name alone.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, ApiError> {
        match self.text(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(other) => Err(invalid(format!("{name}: want true or false, not {other:?}"))),
        }
    }

    /// One word of `words`, and what it means.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        found.map(Some).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            invalid(format!("{name}: want one of {}, not {text:?}", words.join(", ")))
        })
    }

    /// Refuses what is left: nobody asked for it.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        if self.given.is_empty() {
            return Ok(());
        }
        self.known.sort_unstable();
        let unknown: Vec<String> =
            self.given.iter().map(|(name, _)| format!("{:?}", clipped(name))).collect();
        let known = match self.known.as_slice() {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        let detail = format!("unknown query parameter {}; known here: {known}", unknown.join(", "));
        Err(ApiError::bad_request("unknown_parameter", detail))
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(80).collect()
}
