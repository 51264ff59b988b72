//! The audit log: who has written what, from where, and what became of it.
//!
//! A line for each write, refused ones too, with these fields: see [`Line`]. It holds names, numbers
//! and words of closed sets, and nothing of a body, a token or a header: what it does not take it
//! cannot tell.
//!
//! A place for the line is taken before the write begins, so that where writes must be told one that
//! cannot be is never begun. A write whose caller goes away is told all the same: it may have landed.
//!
//! Of the refusals of one caller that asks too often only the first of a row is told, and refusals of
//! callers that have not shown who they are are counted for each address ([`refused`]), or else a
//! flood would push everything else out of the files.

mod refused;

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

use self::refused::Refused;
use super::{beginning, caller::ClientAddress, clipped};
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

/// The most bytes of parameters' values in a line.
const MAX_QUERY_BYTES: usize = 512;

/// The most documents that a line names.
const MAX_NAMED: usize = 200;

/// The most groups of its caller that a line names.
const MAX_GROUPS: usize = 50;

/// Codes of answers that leave open what has become of the write.
const OPEN_CODES: &[&str] = &["timeout", "maybe_done", "internal"];

/// The audit log, as a replica writes it.
pub(crate) struct Audit {
    shared: Arc<Shared>,
    now: Clock,
}

/// What entries share.
struct Shared {
    lines: Lines,
    refused: Refused,
}

impl Shared {
    /// Writes a line, or counts that it is lost.
    fn write(&self, line: &impl Serialize) {
        match self.lines.place() {
            Some(place) => write(place, line),
            None => self.lines.lose(),
        }
    }
}

fn write(place: Place, line: &impl Serialize) {
    match serde_json::to_vec(line) {
        Ok(mut text) => {
            text.push(b'\n');
            place.write(text);
        }
        Err(error) => tracing::error!(%error, "an audit line cannot be written"),
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        for summary in self.shared.refused.all((self.now)()) {
            self.shared.write(&summary);
        }
    }
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<&'a str>,
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
    shared: Arc<Shared>,
    now: Clock,
    notes: Notes,
    correlation_id: Arc<str>,
    address: Option<ClientAddress>,
    method: &'static str,
    route: MatchedPath,
    query: BTreeMap<&'static str, String>,
    /// The document that the path names.
    path_key: Option<String>,
}

impl Audit {
    pub(crate) fn new(lines: Lines, now: Clock) -> Self {
        Self { shared: Arc::new(Shared { lines, refused: Refused::default() }), now }
    }

    /// Begins to tell of `request`; `None`: there is no place, and it goes on all the same.
    pub(crate) fn begin(
        &self,
        request: &mut Request,
        method: &'static str,
        route: &MatchedPath,
        id: &CorrelationId,
    ) -> Result<Option<Entry>, ApiError> {
        let Shared { lines, refused } = &*self.shared;
        for summary in refused.ended((self.now)()) {
            self.shared.write(&summary);
        }
        let Some(place) = lines.place() else {
            lines.lose();
            return match lines.loss() {
                Loss::Counted => Ok(None),
                Loss::Forbidden => Err(unavailable()),
            };
        };
        let notes = Notes::default();
        request.extensions_mut().insert(notes.clone());
        Ok(Some(Entry {
            place: Some(place),
            shared: Arc::clone(&self.shared),
            now: Arc::clone(&self.now),
            notes,
            correlation_id: Arc::clone(&id.0),
            address: request.extensions().get::<ClientAddress>().copied(),
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
        let (decision, now) = (decision(status, code), (self.now)());
        if decision == "refused" && noted.subject.is_none() {
            let network = self.address.map(ClientAddress::network);
            if !self.shared.refused.count(network, now) {
                return;
            }
        }
        let (documents, n_more) = if effects.is_empty() {
            (Cow::Owned(self.intended(&noted.keys)), noted.n_more_keys)
        } else {
            (Cow::Borrowed(effects), 0)
        };
        let named = documents.get(..MAX_NAMED).unwrap_or(&documents);
        let identity = noted.identity.as_deref();
        let groups = identity.map_or(&[][..], |identity| &identity.groups);
        let told_groups = groups.iter().take(MAX_GROUPS).map(|group| clipped(group));
        let told_groups: Vec<&str> = told_groups.collect();
        let line = Line {
            kind: "audit",
            time: now,
            correlation_id: &self.correlation_id,
            subject: noted.subject.as_deref().map(clipped),
            authenticated_by: identity.map(|identity| identity.means.as_str()),
            groups_left_out: groups.len() - told_groups.len(),
            groups: told_groups,
            address: self.address.map(|address| address.0),
            method: self.method,
            route: self.route.as_str(),
            query: &self.query,
            documents: named,
            documents_left_out: documents.len() - named.len() + n_more,
            decision,
            status: status.map(|status| status.as_u16()),
            code,
        };
        write(place, &line);
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
    let mut left = MAX_QUERY_BYTES;
    let each = query.split('&').take(64).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        let name = TOLD_PARAMETERS.iter().find(|told| **told == name)?;
        let value = beginning(clipped(value), left);
        left -= value.len();
        Some((*name, value.to_owned()))
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
        let long = "x".repeat(1000);
        let all = TOLD_PARAMETERS.iter().map(|name| format!("{name}={long}&")).collect::<String>();
        let told = told_parameters(&all);
        assert_eq!(told.values().map(String::len).sum::<usize>(), MAX_QUERY_BYTES);
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
