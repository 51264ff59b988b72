//! The audit log: who has written what, from where, and what became of it.
//!
//! A line for each write, refused ones too, with these fields: see [`Line`]. It holds names, numbers
//! and words of closed sets, and nothing of a body, a token or a header: what it does not take it
//! cannot tell.
//!
//! A place for the line is taken before the write begins, so that where writes must be told one that
//! cannot be is never begun. A write whose caller goes away is told all the same: it may have landed.
//!
//! Of the refusals of one caller that asks too often only the first of a row is told, or else a
//! flood would push everything else out of the files.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request},
    response::Response,
};
use http::StatusCode;
use oprc_cp_storage::keys::Key;
use oprc_models::meta::{Generation, Timestamp};
use oprc_observability::{Lines, Loss, Place};
use parking_lot::Mutex;
use serde::Serialize;

use super::caller::ClientAddress;
use crate::{
    Clock,
    auth::Identity,
    call::CorrelationId,
    error::ApiError,
    writes::{Applied, BundleWritten, Outcome, Written},
};

/// Parameters that say what a write does. Others are not told: who knows what is in them.
const TOLD_PARAMETERS: &[&str] = &[
    "allow_empty",
    "bundle",
    "cascade",
    "cluster",
    "dry_run",
    "force",
    "generation",
    "prune",
    "strict",
];

/// The longest text that a caller chooses and that is told, in bytes.
const MAX_TEXT_BYTES: usize = 253;

/// The most documents that a line names.
const MAX_NAMED: usize = 200;

/// The most groups of its caller that a line names.
const MAX_GROUPS: usize = 50;

/// Codes of answers that leave open what has become of the write.
const OPEN_CODES: &[&str] = &["timeout", "maybe_done", "internal"];

/// The audit log, as a replica writes it.
pub(crate) struct Audit {
    lines: Lines,
    now: Clock,
}

/// What is noted of a request while it goes inward: an extension of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    subject: Option<Arc<str>>,
    /// How the caller showed who they are, and their groups.
    identity: Option<Arc<Identity>>,
    /// What it means to write.
    keys: Vec<String>,
    /// What it means to write besides.
    n_more_keys: usize,
}

impl Notes {
    /// It was made by `subject`, who showed that by `identity`.
    pub(crate) fn caller(&self, subject: &Arc<str>, identity: Option<&Arc<Identity>>) {
        let mut noted = self.0.lock();
        noted.subject = Some(Arc::clone(subject));
        noted.identity = identity.cloned();
    }

    /// It means to write `key`.
    pub(crate) fn intends(&self, key: &Key) {
        let mut noted = self.0.lock();
        if noted.keys.len() < MAX_NAMED {
            noted.keys.push(key.to_string());
        } else {
            noted.n_more_keys += 1;
        }
    }
}

/// What became of one document: what a write's answer carries as an extension, [`Effects`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Effect {
    /// Its key in the store.
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<&'static str>,
    /// Its generation before; `None`: it was not there, or is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    /// Its generation after; `None`: it is gone, or is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
}

/// An extension of the answer to a write: what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects(pub(crate) Vec<Effect>);

/// An extension of an answer that is not to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untold;

impl Effect {
    /// What `outcome` says of a document that has `generation` now, or had it last.
    fn new(key: &Key, outcome: Outcome, generation: Generation) -> Self {
        let earlier = generation.checked_sub(1).filter(|earlier| *earlier > 0);
        let (outcome, before, after) = match outcome {
            Outcome::Created => ("created", earlier, Some(generation)),
            Outcome::Replaced => ("replaced", earlier, Some(generation)),
            Outcome::Published => ("published", Some(generation), Some(generation)),
            Outcome::Unchanged => ("unchanged", Some(generation), Some(generation)),
            Outcome::Deleting | Outcome::Underway => {
                ("deleting", Some(generation), Some(generation))
            }
            Outcome::Removed => ("removed", Some(generation), None),
        };
        Self { key: key.to_string(), outcome: Some(outcome), before, after }
    }
}

impl Effects {
    /// What `written` says was done, the documents written with others included.
    pub(crate) fn of(written: &[Written]) -> Self {
        let with = |key: &Key| Effect {
            key: key.to_string(),
            outcome: Some("with_other"),
            before: None,
            after: None,
        };
        let each = written.iter().flat_map(|one| {
            let principal = Effect::new(&one.key, one.outcome, one.meta.generation);
            std::iter::once(principal).chain(one.others.iter().map(with))
        });
        Self(each.collect())
    }

    /// What a push of many documents did.
    pub(crate) fn of_push(written: &BundleWritten) -> Self {
        let effect = |one: &Applied| Effect::new(&one.key, one.outcome, one.generation);
        Self(written.applied.iter().map(effect).collect())
    }
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    /// Always `audit`: what tells it from the log's lines on standard output.
    kind: &'static str,
    time: Timestamp,
    correlation_id: &'a str,
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_by: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Box<str>],
    /// How many groups were left out of `groups`.
    #[serde(skip_serializing_if = "is_zero")]
    groups_left_out: usize,
    address: Option<IpAddr>,
    method: &'static str,
    route: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query: &'a BTreeMap<&'static str, String>,
    documents: &'a [Effect],
    /// How many documents were left out of `documents`.
    #[serde(skip_serializing_if = "is_zero")]
    documents_left_out: usize,
    decision: &'static str,
    status: Option<u16>,
    code: Option<&'a str>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A write that has begun. Told when it ends, or when it is dropped because its caller has gone.
pub(crate) struct Entry {
    place: Option<Place>,
    now: Clock,
    notes: Notes,
    correlation_id: Arc<str>,
    address: Option<IpAddr>,
    method: &'static str,
    route: MatchedPath,
    query: BTreeMap<&'static str, String>,
    /// The document that the path names.
    path_key: Option<String>,
}

impl Audit {
    pub(crate) fn new(lines: Lines, now: Clock) -> Self {
        Self { lines, now }
    }

    /// Begins to tell of `request`; `None`: there is no place, and it goes on all the same.
    pub(crate) fn begin(
        &self,
        request: &mut Request,
        method: &'static str,
        route: &MatchedPath,
        id: &CorrelationId,
    ) -> Result<Option<Entry>, ApiError> {
        let Some(place) = self.lines.place() else {
            self.lines.lose();
            return match self.lines.loss() {
                Loss::Counted => Ok(None),
                Loss::Forbidden => Err(unavailable()),
            };
        };
        let notes = Notes::default();
        request.extensions_mut().insert(notes.clone());
        Ok(Some(Entry {
            place: Some(place),
            now: Arc::clone(&self.now),
            notes,
            correlation_id: Arc::clone(&id.0),
            address: request.extensions().get::<ClientAddress>().map(|address| address.0),
            method,
            route: route.clone(),
            query: told_parameters(request.uri().query().unwrap_or_default()),
            path_key: path_key(route.as_str(), request.uri().path()),
        }))
    }
}

/// Writes must be told, and this one cannot be.
fn unavailable() -> ApiError {
    let detail = "the audit log cannot be written, and nothing is to be written without it";
    ApiError::unavailable("audit_unavailable", detail)
}

impl Entry {
    /// Tells what was answered. `code` is that of the answer's problem, if it has one.
    pub(crate) fn end(mut self, response: &Response, code: Option<&str>) {
        if response.extensions().get::<Untold>().is_some() {
            self.place = None;
            return;
        }
        let effects = response.extensions().get::<Effects>();
        self.tell(Some(response.status()), code, effects.map_or(&[], |effects| &effects.0));
    }

    fn tell(&mut self, status: Option<StatusCode>, code: Option<&str>, effects: &[Effect]) {
        let Some(place) = self.place.take() else { return };
        let noted = self.notes.0.lock();
        let (documents, n_more) = if effects.is_empty() {
            (Cow::Owned(self.intended(&noted.keys)), noted.n_more_keys)
        } else {
            (Cow::Borrowed(effects), 0)
        };
        let named = documents.get(..MAX_NAMED).unwrap_or(&documents);
        let identity = noted.identity.as_deref();
        let groups = identity.map_or(&[][..], |identity| &identity.groups);
        let told_groups = groups.get(..MAX_GROUPS).unwrap_or(groups);
        let line = Line {
            kind: "audit",
            time: (self.now)(),
            correlation_id: &self.correlation_id,
            subject: noted.subject.as_deref(),
            authenticated_by: identity.map(|identity| identity.means.as_str()),
            groups: told_groups,
            groups_left_out: groups.len() - told_groups.len(),
            address: self.address,
            method: self.method,
            route: self.route.as_str(),
            query: &self.query,
            documents: named,
            documents_left_out: documents.len() - named.len() + n_more,
            decision: decision(status, code),
            status: status.map(|status| status.as_u16()),
            code,
        };
        match serde_json::to_vec(&line) {
            Ok(mut text) => {
                text.push(b'\n');
                place.write(text);
            }
            Err(error) => tracing::error!(%error, "an audit line cannot be written"),
        }
    }

    /// What it was about, where nothing says what it did.
    fn intended(&self, noted: &[String]) -> Vec<Effect> {
        let keys: &[String] = if noted.is_empty() { self.path_key.as_slice() } else { noted };
        let effect =
            |key: &String| Effect { key: key.clone(), outcome: None, before: None, after: None };
        keys.iter().map(effect).collect()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tell(None, Some("client_gone"), &[]);
    }
}

/// What was decided, in a word.
fn decision(status: Option<StatusCode>, code: Option<&str>) -> &'static str {
    match status {
        Some(status) if status.is_client_error() => "refused",
        Some(status) if !status.is_server_error() => "allowed",
        // Nothing was written, or it is not known.
        Some(_) if code.is_none_or(|code| !OPEN_CODES.contains(&code)) => "failed",
        _ => "unknown",
    }
}

/// Those parameters of `query` that may be told.
fn told_parameters(query: &str) -> BTreeMap<&'static str, String> {
    let each = query.split('&').take(64).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let name = TOLD_PARAMETERS.iter().find(|told| **told == name)?;
        Some((*name, clipped(value)))
    });
    each.collect()
}

/// The key of the document that `path` names, where its route has a name after its kind.
fn path_key(route: &str, path: &str) -> Option<String> {
    let mut pairs = route.split('/').zip(path.split('/')).skip_while(|(part, _)| *part != "v1");
    let (kind, _) = pairs.nth(1)?;
    let (part, name) = pairs.next()?;
    part.starts_with('{').then(|| format!("{kind}/{}", clipped(name)))
}

fn clipped(text: &str) -> String {
    let ends = text.char_indices().map(|(start, char)| start + char.len_utf8());
    let end = ends.take_while(|end| *end <= MAX_TEXT_BYTES).last().unwrap_or_default();
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_documents() {
        let check = |route: &str, path: &str, want: Option<&str>| {
            assert_eq!(path_key(route, path).as_deref(), want, "{route}");
        };
        check("/api/v1/packages", "/api/v1/packages", None);
        check("/api/v1/packages/{name}", "/api/v1/packages/shop", Some("packages/shop"));
        check(
            "/api/v1/deployments/{key}/pause",
            "/api/v1/deployments/a/pause",
            Some("deployments/a"),
        );
        check("/api/v1/apply", "/api/v1/apply", None);
        check("/livez", "/livez", None);
    }

    #[test]
    fn of_a_query_what_is_known_is_told() {
        let told = told_parameters("cascade=true&access_token=hunter2&force&cluster=edge-1&x=y");
        let want = [("cascade", "true"), ("cluster", "edge-1"), ("force", "true")];
        assert_eq!(told, want.map(|(name, value)| (name, value.to_owned())).into());
        assert_eq!(told_parameters(&format!("bundle={}", "é".repeat(500)))["bundle"].len(), 252);
    }

    #[test]
    fn decisions() {
        let check = |status: u16, code, want| {
            assert_eq!(
                decision(StatusCode::from_u16(status).ok(), code),
                want,
                "{status} {code:?}"
            );
        };
        check(200, None, "allowed");
        check(201, None, "allowed");
        check(202, None, "allowed");
        check(400, Some("invalid_document"), "refused");
        check(403, Some("forbidden"), "refused");
        check(429, Some("rate_limited"), "refused");
        check(503, Some("unavailable"), "failed");
        check(507, Some("store_full"), "failed");
        check(503, Some("maybe_done"), "unknown");
        check(503, Some("timeout"), "unknown");
        check(500, Some("internal"), "unknown");
        assert_eq!(decision(None, Some("client_gone")), "unknown");
    }
}
