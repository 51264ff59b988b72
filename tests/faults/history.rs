//! What clients asked of one document and were told: the words of a history, and what they mean.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::time::Instant;

use super::linearizable::{self, Interval};
use crate::support::Answer;

/// What tells one spec from another: each new one has its own.
pub(crate) type Mark = u64;

/// The revision of a spec, as in its entity tag.
pub(crate) type Tag = u64;

/// What is asked of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// POST.
    Create(Mark),
    /// PUT.
    Put(Mark),
    /// PUT with `If-Match: tag`, which was read together with the mark `read`.
    Replace {
        mark: Mark,
        read: Mark,
        tag: Tag,
    },
    Delete,
    Read,
}

/// What is answered. A document whose deletion was asked for counts as gone: when its removal is
/// seen is not the client's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// 201.
    Created(Tag),
    /// 200.
    Written(Tag),
    /// 409: there is another.
    Exists,
    /// 412.
    Mismatch,
    /// 202: the deletion is asked for.
    Deleted,
    /// 404 to a deletion.
    Missing,
    Found(Mark, Tag),
    /// 404 to a read, or a document that is being deleted.
    Gone,
    /// Nobody knows whether it was done.
    Unknown,
    /// It was not done, and the answer says so.
    NotDone,
}

/// One call and its reply.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) call: Call,
    pub(crate) reply: Reply,
    pub(crate) invoked: Instant,
    pub(crate) returned: Instant,
}

impl Operation {
    fn interval(&self) -> Interval<(Call, Reply), Instant> {
        let returned = (self.reply != Reply::Unknown).then_some(self.returned);
        Interval { operation: (self.call, self.reply), invoked: self.invoked, returned }
    }

    /// The revision that it says that it has written, unless that was there before.
    pub(crate) fn tag(&self) -> Option<Tag> {
        match self.reply {
            Reply::Created(tag) | Reply::Written(tag) => Some(tag),
            _ => None,
        }
    }
}

impl Call {
    /// The mark that it would write.
    fn mark(self) -> Option<Mark> {
        match self {
            Self::Create(mark) | Self::Put(mark) | Self::Replace { mark, .. } => Some(mark),
            Self::Delete | Self::Read => None,
        }
    }
}

impl Reply {
    /// The mark that it shows.
    fn seen(self) -> Option<Mark> {
        if let Self::Found(mark, _) = self { Some(mark) } else { None }
    }

    /// Reads the meaning off an answer; `Err` when there is none that the API promises.
    pub(crate) fn of(call: Call, answer: &Answer) -> Result<Self, String> {
        let body = &answer.body;
        let code = body["code"].as_str().unwrap_or_default();
        let is_read = call == Call::Read;
        let tag = || body["meta"]["resource_version"].as_str().and_then(|tag| tag.parse().ok());
        let reply = match (answer.status.as_u16(), code) {
            (200, _) if is_read && body["meta"]["deletion_requested_at"].is_string() => {
                Some(Self::Gone)
            }
            (200, _) if is_read => mark(body).zip(tag()).map(|(mark, tag)| Self::Found(mark, tag)),
            (404, "not_found") if is_read => Some(Self::Gone),
            (404, "not_found") if call == Call::Delete => Some(Self::Missing),
            (201, _) => tag().map(Self::Created),
            (200, _) => tag().map(Self::Written),
            (202, _) => Some(Self::Deleted),
            (409, "already_exists") => Some(Self::Exists),
            (412, "precondition_failed") => Some(Self::Mismatch),
            (409, "conflict") | (429, "too_many_requests") | (503, "unavailable" | "not_ready") => {
                Some(Self::NotDone)
            }
            (503, "maybe_done" | "timeout") | (507, "store_full") if is_read => Some(Self::NotDone),
            (503, "maybe_done" | "timeout") | (507, "store_full") => Some(Self::Unknown),
            _ => None,
        };
        reply.ok_or_else(|| format!("{call:?} is answered {answer:?}"))
    }
}

/// The mark of a document.
fn mark(document: &Value) -> Option<Mark> {
    document["labels"]["mark"].as_str()?.parse().ok()
}

/// A document at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Document {
    Gone,
    /// The tag is not known while only unanswered writes can have written it.
    There(Mark, Option<Tag>),
}

/// The state after an operation on `document`; `None` if its reply does not fit.
pub(crate) fn step(document: &Document, (call, reply): &(Call, Reply)) -> Option<Document> {
    use Document::{Gone, There};
    let written = |mark: Mark, tag: Tag| Some(There(mark, Some(tag)));
    // What is there may be what was read as (mark, tag).
    let is = |mark: Mark, tag: Tag| match *document {
        Gone => false,
        There(there, None) => there == mark,
        There(there, Some(known)) => there == mark && known == tag,
    };
    // What is there may be something else.
    let is_other = |mark: Mark, tag: Tag| match *document {
        Gone | There(_, None) => true,
        There(..) => !is(mark, tag),
    };
    match (*call, *reply, *document) {
        (Call::Create(mark) | Call::Put(mark), Reply::Created(tag), Gone) => written(mark, tag),
        // The same again changes nothing, and another is a change for PUT alone.
        (Call::Create(mark) | Call::Put(mark), Reply::Written(tag), There(there, _))
            if there == mark =>
        {
            is(mark, tag).then_some(There(mark, Some(tag)))
        }
        (Call::Put(mark), Reply::Written(tag), There(..)) => written(mark, tag),
        (Call::Create(mark), Reply::Exists, There(there, _)) => {
            (there != mark).then_some(*document)
        }
        (Call::Replace { mark, read, tag }, Reply::Written(new), There(..)) => {
            if is(read, tag) {
                written(mark, new)
            } else {
                None
            }
        }
        (Call::Replace { read, tag, .. }, Reply::Mismatch, _) => {
            is_other(read, tag).then_some(*document)
        }
        (Call::Delete, Reply::Deleted, _) => Some(Gone),
        (Call::Delete, Reply::Missing, Gone) | (Call::Read, Reply::Gone, Gone) => Some(Gone),
        (Call::Read, Reply::Found(mark, tag), There(..)) => {
            is(mark, tag).then_some(There(mark, Some(tag)))
        }
        // Without an answer: what it does where it has an effect.
        (Call::Create(mark), Reply::Unknown, Gone) => Some(There(mark, None)),
        (Call::Put(mark), Reply::Unknown, There(there, _)) if there == mark => Some(*document),
        (Call::Put(mark), Reply::Unknown, _) => Some(There(mark, None)),
        (Call::Replace { mark, read, tag }, Reply::Unknown, _) if is(read, tag) => {
            Some(There(mark, None))
        }
        (Call::Create(_) | Call::Replace { .. }, Reply::Unknown, _) => Some(*document),
        (Call::Delete, Reply::Unknown, _) => Some(Gone),
        _ => None,
    }
}

/// Checks that each document's part of `history` can be explained, from nothing on.
///
/// # Errors
///
/// The document that cannot, and where its explanation ends.
pub(crate) fn check(history: &[Operation]) -> Result<(), String> {
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|it| it.reply != Reply::NotDone) {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    for (key, history) in by_key {
        let seen: BTreeSet<Mark> = history.iter().filter_map(|it| it.reply.seen()).collect();
        // Most writes without an answer never took effect. An explanation without those that
        // nobody saw is one, and found much faster; only if there is none, they are needed.
        let is_likely = |it: &&&Operation| {
            it.reply != Reply::Unknown || it.call.mark().is_none_or(|mark| seen.contains(&mark))
        };
        let check = |history: Vec<_>| linearizable::check(Document::Gone, history, step);
        check(history.iter().filter(is_likely).map(|it| it.interval()).collect())
            .or_else(|_| check(history.iter().map(|it| it.interval()).collect()))
            .map_err(|reason| format!("the history of {key} is not linearizable: {reason}"))?;
    }
    Ok(())
}

/// One call after another on one document, each answered before the next is made, but for those
/// whose answer is unknown.
#[track_caller]
fn check_calls(calls: &[(Call, Reply)], want: bool) {
    let began = Instant::now();
    let mut history = Vec::new();
    for (i, (call, reply)) in (0..).zip(calls) {
        let invoked = began + std::time::Duration::from_millis(2 * i);
        let returned = invoked + std::time::Duration::from_millis(1);
        let key = "cart".to_owned();
        history.push(Operation { key, call: *call, reply: *reply, invoked, returned });
    }
    let got = check(&history);
    assert_eq!(got.is_ok(), want, "{calls:?}: {got:?}");
}

#[test]
fn documents_answer_as_they_should() {
    use Call::{Create, Delete, Put, Read, Replace};
    use Reply::{
        Created, Deleted, Exists, Found, Gone, Mismatch, Missing, NotDone, Unknown, Written,
    };
    let there = (Create(1), Created(10));
    let replace = |mark, read, tag| Replace { mark, read, tag };
    let table: &[(&[(Call, Reply)], bool)] = &[
        (&[(Read, Gone), there, (Read, Found(1, 10))], true),
        // An acknowledged write is lost, or never was.
        (&[there, (Read, Gone)], false),
        (&[there, (Put(2), Written(11)), (Read, Found(1, 10))], false),
        (&[(Read, Found(1, 10))], false),
        // The same again changes nothing; another is refused, or a change.
        (&[there, (Create(1), Written(10)), (Put(1), Written(10))], true),
        (&[there, (Put(1), Written(11))], false),
        (&[there, (Create(2), Exists), (Read, Found(1, 10))], true),
        (&[there, (Create(1), Exists)], false),
        (&[there, (Create(2), Created(11))], false),
        // Conditions.
        (&[there, (replace(2, 1, 10), Written(11)), (replace(3, 1, 10), Mismatch)], true),
        (&[there, (replace(2, 1, 10), Mismatch)], false),
        (&[there, (Put(2), Written(11)), (replace(3, 1, 10), Written(12))], false),
        // A document that was deleted and created anew is another, though it reads the same.
        (&[there, (Delete, Deleted), (Put(1), Created(12)), (replace(2, 1, 10), Mismatch)], true),
        (&[there, (Delete, Deleted), (Put(1), Created(12)), (Read, Found(1, 10))], false),
        (&[there, (Delete, Deleted), (Read, Gone), (Delete, Missing)], true),
        (&[there, (Delete, Missing)], false),
        (&[there, (Delete, Deleted), (Read, Found(1, 10))], false),
        // What is not known may have been done, or be done later, once.
        (&[there, (Put(2), Unknown), (Read, Found(1, 10)), (Read, Found(2, 11))], true),
        (&[there, (Put(2), Unknown), (replace(3, 1, 10), Mismatch)], true),
        (&[there, (Delete, Unknown), (Read, Gone), (Put(2), Created(13))], true),
        (&[there, (Put(2), Unknown), (Read, Found(2, 11)), (Read, Found(1, 10))], false),
        (&[there, (Put(2), Unknown), (Read, Found(2, 11)), (Read, Found(2, 12))], false),
        (
            &[there, (replace(2, 1, 10), Unknown), (Put(3), Written(11)), (Read, Found(2, 12))],
            false,
        ),
        // What was not done was not done.
        (&[there, (Put(2), NotDone), (Read, Found(2, 11))], false),
    ];
    for (calls, want) in table {
        check_calls(calls, *want);
    }
}
