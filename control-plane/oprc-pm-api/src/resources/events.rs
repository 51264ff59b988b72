//! `/api/v1/events`: what was decided and met with, and why.

mod seen;

use std::{
    hash::{DefaultHasher, Hash},
    ops::Bound,
    sync::Arc,
};

use axum::extract::State as Shared;
use oprc_controller_runtime::cache::{Entry, State};
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::event::{About, Event, StoredEvents};

use self::seen::{is_seen, list_seen};
use super::visible;
use crate::{
    auth::Grants,
    call::{Answer, Call, SharedApp},
    error::ApiError,
    list::{self, Chunk},
    splice::Object,
};

/// One event, as a part of what is kept of its object.
struct EventRow {
    about: About,
    stored: Arc<StoredEvents>,
    revision: Revision,
    index: usize,
}

impl EventRow {
    fn new(about: About, entry: &Entry<StoredEvents>, index: usize) -> Self {
        Self { about, stored: Arc::clone(&entry.value), revision: entry.revision, index }
    }

    fn event(&self) -> Option<&Event> {
        self.stored.events.get(self.index)
    }
}

impl list::Item for EventRow {
    fn names(&self) -> Vec<&str> {
        let reason = self.event().map_or("", |event| &event.reason);
        vec![self.about.kind(), self.about.name(), reason]
    }

    fn hash_into(&self, hasher: &mut DefaultHasher) {
        (self.about.kind(), self.about.name(), self.revision, self.index).hash(hasher);
    }
}

fn write(buffer: &mut Vec<u8>, row: &EventRow) -> Result<(), serde_json::Error> {
    let mut object = Object::new(buffer);
    object.field("about", &format!("{}/{}", row.about.kind(), row.about.name()))?;
    if let Some(event) = row.event() {
        object.members(event)?;
    }
    object.end();
    Ok(())
}

/// A place in the list.
type Place = (About, String);

/// `GET /events`.
pub(crate) async fn list(Shared(app): SharedApp, call: Call) -> Answer {
    let mut params = call.params()?;
    let text = params.text("about")?;
    let about = text.as_deref().map(about).transpose()?;
    let grants = call.by.grants();
    let sees_all = grants.sees_all();
    let request = list::Request::new(&mut params, &("events", &text, sees_all))?;
    params.finish()?;
    if !sees_all && about.is_none() {
        return list_seen(&app, &request, grants, &call.headers).await;
    }
    let after = request
        .after::<3>()?
        .and_then(|[kind, name, reason]| Some((About::new(&kind, &name)?, reason)));
    let page = list::page(
        &app,
        &request,
        after,
        |(about, reason): &Place| vec![about.kind(), about.name(), reason],
        |key| matches!(key, Key::Events(_)) && visible::may_name(grants, key),
        |state, after, limit, items| match &about {
            Some(about) if !is_seen(state, grants, about) => Chunk::End,
            about => chunk(state, grants, about.as_ref(), after, limit, items),
        },
    );
    page.await?.answer(&call.headers, write)
}

/// `KIND/NAME`.
fn about(text: &str) -> Result<About, ApiError> {
    let about = text.split_once('/').and_then(|(kind, name)| About::new(kind, name));
    about.ok_or_else(|| {
        let detail = "about: want KIND/NAME, of a package, a deployment or a cluster";
        ApiError::bad_request("invalid_parameter", detail)
    })
}

/// The events of one object after `reason`, in the order of their reasons: so that a place stays one
/// while more is told.
///
/// Events of a deployment's former packages are for callers who see those too.
fn by_reason<'s>(
    stored: &'s StoredEvents,
    grants: &Grants,
    after: Option<&str>,
) -> Vec<(usize, &'s str)> {
    let events = stored.events.iter().enumerate();
    let events =
        events.filter(|(_, event)| event.package_name.as_ref().is_none_or(|it| grants.sees(it)));
    let events = events.map(|(index, event)| (index, event.reason.as_str()));
    let mut events: Vec<_> =
        events.filter(|(_, reason)| after.is_none_or(|after| *reason > after)).collect();
    events.sort_unstable_by_key(|(_, reason)| *reason);
    events
}

fn chunk(
    state: &State,
    grants: &Grants,
    about: Option<&About>,
    after: Option<&Place>,
    limit: usize,
    items: &mut Vec<EventRow>,
) -> Chunk<Place> {
    let from = about.or(after.map(|(about, _)| about));
    let from = from.map_or(Bound::Unbounded, Bound::Included);
    let objects = state.events.range::<About, _>((from, Bound::Unbounded));
    let objects = objects.take_while(|(there, _)| about.is_none_or(|about| *there == about));
    let entries = objects.flat_map(|(about, entry)| {
        let after = after.filter(|(begun, _)| begun == about).map(|(_, reason)| reason.as_str());
        let events = by_reason(&entry.value, grants, after).into_iter();
        events.map(move |(index, reason)| (about, entry, index, reason))
    });
    type One<'s> = (&'s About, &'s Entry<StoredEvents>, usize, &'s str);
    let place = |(about, _, _, reason): One<'_>| (about.clone(), reason.to_owned());
    list::take(entries, place, items, limit, |(about, entry, index, _)| {
        Some(EventRow::new(about.clone(), entry, index))
    })
}
