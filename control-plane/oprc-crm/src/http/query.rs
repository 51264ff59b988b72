//! Queries and headers, parsed; every mistake is told. Unknown parameters are ignored.

use axum::{
    extract::{FromRequestParts, Query},
    http::{HeaderMap, request::Parts},
};
use oprc_models::{
    crm::{OWNER_HEADER, TERM_HEADER},
    problem::Violation,
    record::RunCondition,
};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as ValueError};

use super::answer::Failure;
use crate::{
    crm::Fence,
    feed::Mark,
    listing::{Continue, DEFAULT_LIMIT, Filter, MAX_LIMIT},
    unit::is_word,
};

/// The parameters of a query, as text.
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(err) => Err(invalid("the query", &err.body_text())),
        }
    }
}

/// What is wrong with one parameter or header.
fn violation(name: &str, problem: &str) -> Violation {
    Violation::new("", format!("{name}: {problem}"))
}

fn invalid(name: &str, problem: &str) -> Failure {
    Failure::Request(vec![violation(name, problem)])
}

impl Parameters {
    /// The value of `name`, if it is there and not empty.
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The parameter `name`, parsed; a violation is noted when it cannot be.
    fn parse<T>(
        &self,
        name: &str,
        want: &str,
        violations: &mut Vec<Violation>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(text);
        if parsed.is_none() {
            violations.push(violation(name, &format!("want {want}")));
        }
        parsed
    }

    /// The `generation` to delete.
    pub(crate) fn generation(&self) -> Result<Option<u64>, Failure> {
        let mut violations = Vec::new();
        let generation =
            self.parse("generation", "a whole number", &mut violations, |text| text.parse().ok());
        refuse(violations, generation)
    }

    /// What is asked of the records.
    pub(crate) fn records(&self) -> Result<RecordQuery, Failure> {
        let mut violations = Vec::new();
        let text = |name| self.text(name).map(ToOwned::to_owned);
        let status = self.parse("status", "a condition", &mut violations, word::<RunCondition>);
        let filter = Filter {
            package: text("package"),
            class: text("class"),
            env: text("env"),
            owner: text("owner"),
            status,
        };
        let want = format!("a whole number from 1 to {MAX_LIMIT}");
        let limit = self.parse("limit", &want, &mut violations, |text| {
            text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
        });
        let want = "what the page before gave";
        let from = self.parse("continue", want, &mut violations, |text| text.parse().ok());
        let is_watch =
            self.parse("watch", "true or false", &mut violations, |text| text.parse().ok());
        let revision = self.parse("revision", "a revision of this CRM", &mut violations, |text| {
            text.parse().ok().map(Mark)
        });
        let asked = if is_watch.unwrap_or(false) {
            Asked::Watch(revision)
        } else {
            Asked::Page(limit.unwrap_or(DEFAULT_LIMIT), from)
        };
        refuse(violations, RecordQuery { filter, asked })
    }
}

/// What is asked of the records.
pub(crate) struct RecordQuery {
    pub(crate) filter: Filter,
    pub(crate) asked: Asked,
}

/// A page or a watch.
pub(crate) enum Asked {
    /// At most this many, from there on.
    Page(usize, Option<Continue>),
    /// What happens after this mark; `None`: from now on.
    Watch(Option<Mark>),
}

/// Who calls, and in which term; `None`: a caller that keeps no terms.
pub(crate) fn fence(headers: &HeaderMap) -> Result<Option<Fence>, Failure> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(term) = text(TERM_HEADER) else { return Ok(None) };
    let mut violations = Vec::new();
    let term = term.parse().ok();
    if term.is_none() {
        violations.push(violation(TERM_HEADER, "want a whole number"));
    }
    let owner = text(OWNER_HEADER).filter(|owner| is_word(owner)).map(ToOwned::to_owned);
    if owner.is_none() {
        let want = format!("want 1 to 253 visible ASCII characters beside {TERM_HEADER}");
        violations.push(violation(OWNER_HEADER, &want));
    }
    refuse(violations, term.zip(owner).map(|(term, owner)| Fence { owner, term }))
}

/// The owner that a call names, with or without a term.
pub(crate) fn owner(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(owner) = headers.get(OWNER_HEADER) else { return Ok(None) };
    let owner = owner.to_str().ok().filter(|owner| is_word(owner));
    let want = "want 1 to 253 visible ASCII characters";
    owner.map(|owner| Some(owner.to_owned())).ok_or_else(|| invalid(OWNER_HEADER, want))
}

fn refuse<T>(violations: Vec<Violation>, value: T) -> Result<T, Failure> {
    if violations.is_empty() { Ok(value) } else { Err(Failure::Request(violations)) }
}

/// A value that is written as one word.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    T::deserialize(IntoDeserializer::<ValueError>::into_deserializer(text)).ok()
}
