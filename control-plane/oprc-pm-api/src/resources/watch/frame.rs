//! Server-sent events as text.

use std::io::Write as _;

use bytes::{Bytes, BytesMut};
use oprc_controller_runtime::cache::feed::{Contents, Event, Mark, Object, Side, Snapshot};
use oprc_cp_storage::Revision;
use oprc_models::problem::Problem;

use super::{
    super::{clusters, deployments, packages, records},
    selection::{Kind, name},
};
use crate::{call::App, splice::Object as Json};

/// What happened to an object, in one watcher's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Added,
    Modified,
    Deleted,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    /// What happened, by whether the watcher is shown how it was and how it is.
    pub(super) fn of(was_shown: bool, is_shown: bool) -> Option<Self> {
        match (was_shown, is_shown) {
            (false, false) => None,
            (false, true) => Some(Self::Added),
            (true, true) => Some(Self::Modified),
            (true, false) => Some(Self::Deleted),
        }
    }
}

/// Renders `event` for a watcher to whom `verb` happened, with its mark if the watcher can resume
/// there.
///
/// `DELETED` shows the object as it was before: what it became may be another package's, or fail the
/// watch's filter. Each of the two texts is made once and shared by all watchers.
pub(super) fn change(app: &App, event: &Event, verb: Verb, has_id: bool) -> Bytes {
    let (side, usual, shown) = match verb {
        Verb::Deleted => (Side::Before, Verb::Deleted, event.before.as_ref()),
        Verb::Added | Verb::Modified => {
            let usual = Verb::of(event.before.is_some(), event.after.is_some()).unwrap_or(verb);
            (Side::After, usual, event.after.as_ref())
        }
    };
    let text = event.text(side, |event| {
        let mut text = head(usual, Some(event.mark));
        if let Some(shown) = shown {
            let (revision, is_unreadable) = (event.mark.revision(), event.is_unreadable);
            envelope(&mut text, app, &event.object, shown, revision, is_unreadable);
        }
        text
    });
    if usual == verb && has_id {
        return text;
    }
    let mut other = BytesMut::from(&*head(verb, has_id.then_some(event.mark)));
    other.extend_from_slice(text.get(head(usual, Some(event.mark)).len()..).unwrap_or_default());
    other.freeze()
}

fn head(verb: Verb, mark: Option<Mark>) -> Vec<u8> {
    let mut text = Vec::with_capacity(2048);
    // Writing to memory cannot fail.
    let _ = writeln!(text, "event: {}", verb.word());
    if let Some(mark) = mark {
        let _ = writeln!(text, "id: {mark}");
    }
    text
}

/// An object of the initial state.
pub(super) fn initial(app: &App, object: &Object, snapshot: &Snapshot) -> Bytes {
    let mut text = head(Verb::Added, None);
    envelope(&mut text, app, object, snapshot, last_change(snapshot), false);
    text.into()
}

/// The revision of the last write of any part of it.
fn last_change(snapshot: &Snapshot) -> Revision {
    let status = match &snapshot.contents {
        Contents::Package(package) => package.status.as_ref().map(|status| status.revision),
        Contents::Deployment(one) => one.status.as_ref().map(|status| status.revision),
        Contents::Cluster(cluster) => cluster.status.as_ref().map(|status| status.revision),
        Contents::Record { .. } => None,
    };
    let spec = match &snapshot.contents {
        Contents::Package(package) => package.entry.revision,
        Contents::Deployment(deployment) => deployment.entry.revision,
        Contents::Cluster(cluster) => cluster.entry.revision,
        Contents::Record { entry, .. } => entry.revision,
    };
    status.map_or(spec, |status| status.max(spec))
}

fn envelope(
    text: &mut Vec<u8>,
    app: &App,
    object: &Object,
    snapshot: &Snapshot,
    revision: Revision,
    is_unreadable: bool,
) {
    text.extend_from_slice(b"data: ");
    let start = text.len();
    let mut json = Json::new(text);
    let written = (|| {
        json.field("kind", &Kind::of(object).word())?;
        json.field("key", &name(object))?;
        json.field("revision", &revision)?;
        if is_unreadable {
            json.field("unreadable", &true)?;
        }
        json.field_with("object", |buffer| write(app, buffer, snapshot))
    })();
    json.end();
    if let Err(error) = written {
        // It came from JSON, so it is JSON again. Were it not: a wrong line ends a watch, half an
        // object would be taken for a whole one.
        tracing::error!(error = %error, "an event cannot be written");
        text.truncate(start);
    }
    // JSON as we write it has no line breaks.
    text.extend_from_slice(b"\n\n");
}

/// The object as `GET` shows it.
fn write(app: &App, buffer: &mut Vec<u8>, snapshot: &Snapshot) -> Result<(), serde_json::Error> {
    let is_stale = snapshot.is_stale;
    match &snapshot.contents {
        Contents::Package(package) => packages::write(buffer, &packages::shown(package, is_stale)),
        Contents::Deployment(deployment) => {
            deployments::write(buffer, &deployments::shown(deployment, is_stale))
        }
        Contents::Cluster(cluster) => {
            clusters::write(app, buffer, &clusters::shown(cluster, is_stale))
        }
        Contents::Record { entry, .. } => records::write(buffer, &records::shown(entry, is_stale)),
    }
}

/// Nothing else happened up to `mark`.
pub(super) fn bookmark(mark: Mark, ends_initial: bool) -> Bytes {
    let revision = mark.revision();
    let initial = if ends_initial { ",\"initial_complete\":true" } else { "" };
    format!("event: BOOKMARK\nid: {mark}\ndata: {{\"revision\":{revision}{initial}}}\n\n").into()
}

/// Why the watch ends here, as a problem document.
pub(super) fn error(code: &str, detail: &str) -> Bytes {
    let problem = Problem {
        r#type: "about:blank".to_owned(),
        title: "Gone".to_owned(),
        status: 410,
        detail: detail.to_owned(),
        code: code.to_owned(),
        ..Problem::default()
    };
    let problem = serde_json::to_string(&problem).unwrap_or_default();
    format!("event: ERROR\ndata: {problem}\n\n").into()
}
