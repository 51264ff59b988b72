//! Lists: pages in name order, filtered, from a cache that is never locked for long.
//!
//! A page is collected in chunks: each looks at a bounded number of entries under the lock, which is
//! released in between. A page is full unless it is the last one, or its bytes exceed a limit. Common
//! filters are answered from indexes; others look at every entry, within the request's deadline.
//!
//! Pages are taken one after the other, each at a revision of its own. Going on after a *name*, not
//! at an offset, an object that is there all the while is in exactly one of them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
};

use http::HeaderMap;
use oprc_controller_runtime::cache::{Cache, State};
use oprc_cp_storage::{Revision, keys::Key};

use crate::{
    call::{Answer, App, Consistency, IsStale, consistency, tagged},
    error::ApiError,
    params::Params,
    splice::{Object, array},
};

/// Items of a page, unless fewer or more are asked for.
pub(crate) const DEFAULT_LIMIT: usize = 100;
/// The most.
pub(crate) const MAX_LIMIT: usize = 1000;
/// Entries looked at under one lock: some tens of microseconds.
const CHUNK: usize = 1024;
/// The longest page token: two names of 253 bytes and two of 63 in hexadecimal, and what is around
/// them.
const MAX_TOKEN_BYTES: usize = 1400;
/// A page's bytes, more or less: it ends after the item that exceeds this. A document may have a
/// megabyte, so a count alone would bound nothing.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// Unreadable objects that a list names.
const MAX_UNREADABLE: usize = 20;

/// Which page is asked for.
pub(crate) struct Request {
    limit: usize,
    consistency: Consistency,
    /// The place after which the page begins.
    after: Option<Vec<String>>,
    /// Hash of the filters: a token goes with them.
    filter: u64,
}

impl Request {
    /// Reads the paging parameters; `filter` is all that decides what is in the list.
    pub(crate) fn new(params: &mut Params, filter: &impl Hash) -> Result<Self, ApiError> {
        let limit = match params.get::<usize>("limit")? {
            Some(limit @ 1..=MAX_LIMIT) => limit,
            None => DEFAULT_LIMIT,
            Some(limit) => {
                let detail = format!("limit: want 1 to {MAX_LIMIT}, not {limit}");
                return Err(ApiError::bad_request("invalid_parameter", detail));
            }
        };
        let mut hasher = DefaultHasher::new();
        filter.hash(&mut hasher);
        let filter = hasher.finish();
        let token = params.text("continue")?;
        let after = token.map(|token| decode(&token, filter)).transpose()?;
        Ok(Self { limit, consistency: consistency(params)?, after, filter })
    }

    /// The place after which the page begins, one name for each of `N` levels.
    pub(crate) fn after<const N: usize>(&self) -> Result<Option<[String; N]>, ApiError> {
        let Some(after) = &self.after else { return Ok(None) };
        after.clone().try_into().map(Some).map_err(|_| bad_token())
    }

    /// As [`Request::after`], where the place is one name.
    pub(crate) fn after_name<K: FromStr>(&self) -> Result<Option<K>, ApiError> {
        let Some([name]) = self.after::<1>()? else { return Ok(None) };
        name.parse().map(Some).map_err(|_| bad_token())
    }
}

fn bad_token() -> ApiError {
    let detail = "continue: not a token of this list, or of another version; begin again";
    ApiError::bad_request("invalid_continue", detail)
}

/// `1.<hash of the filters>.<names in hexadecimal>`: versioned, and of no use elsewhere.
fn encode(names: &[&str], filter: u64) -> String {
    use std::fmt::Write;
    let mut token = format!("1.{filter:x}");
    for name in names {
        token.push('.');
        for byte in name.bytes() {
            // Writing to a `String` cannot fail.
            let _ = write!(token, "{byte:02x}");
        }
    }
    token
}

fn decode(token: &str, filter: u64) -> Result<Vec<String>, ApiError> {
    let read = || {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let is_ours = parts.next() == Some("1") && parts.next()? == format!("{filter:x}");
        let names = parts.map(decode_name).collect::<Option<Vec<String>>>()?;
        (is_ours && !names.is_empty()).then_some(names)
    };
    read().ok_or_else(bad_token)
}

fn decode_name(hex: &str) -> Option<String> {
    let digits = hex.as_bytes().chunks(2);
    let bytes = digits.map(|digits| {
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// One chunk's end.
pub(crate) enum Chunk<K> {
    /// There is nothing more.
    End,
    /// There is more after this place.
    More(K),
}

/// Looks at `entries`, and takes what `pick` makes of them, until the page or the chunk is full.
pub(crate) fn take<E: Copy, K, T>(
    entries: impl Iterator<Item = E>,
    place: impl FnOnce(E) -> K,
    items: &mut Vec<T>,
    limit: usize,
    mut pick: impl FnMut(E) -> Option<T>,
) -> Chunk<K> {
    let mut last = None;
    for (n, entry) in entries.enumerate() {
        // Only here is it known that there is an entry after the last one.
        if let Some(last) = last.take_if(|_| items.len() >= limit || n >= CHUNK) {
            return Chunk::More(place(last));
        }
        last = Some(entry);
        items.extend(pick(entry));
    }
    Chunk::End
}

/// Something that lists hold.
pub(crate) trait Item {
    /// Its place in the list.
    fn names(&self) -> Vec<&str>;
    /// Feeds all that its text depends on.
    fn hash_into(&self, hasher: &mut DefaultHasher);
}

/// A page.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    next: Option<String>,
    filter: u64,
    revision: Revision,
    is_stale: IsStale,
    warnings: Vec<String>,
}

/// Collects a page. `chunk` takes a chunk of what is after a place; `names` are those of a place.
pub(crate) async fn page<K, T>(
    app: &App,
    request: &Request,
    mut after: Option<K>,
    names: impl Fn(&K) -> Vec<&str>,
    is_kind: impl Fn(&Key) -> bool,
    chunk: impl Fn(&State, Option<&K>, usize, &mut Vec<T>) -> Chunk<K>,
) -> Result<Page<T>, ApiError> {
    let is_stale = app.settle(request.consistency).await?;
    // Before the look, so that the page shows at least this much.
    let revision = revision(&app.cache);
    let mut items = Vec::with_capacity(request.limit.min(DEFAULT_LIMIT));
    loop {
        let end = chunk(&app.cache.read(), after.as_ref(), request.limit, &mut items);
        match end {
            Chunk::End => {
                after = None;
                break;
            }
            Chunk::More(place) => after = Some(place),
        }
        if items.len() >= request.limit {
            break;
        }
        // Others have their turn, and a request past its deadline ends here.
        tokio::task::yield_now().await;
    }
    let next = after.map(|place| encode(&names(&place), request.filter));
    let warnings = unreadable(&app.cache.read(), is_kind);
    Ok(Page { items, next, filter: request.filter, revision, is_stale, warnings })
}

fn revision(cache: &Cache) -> Revision {
    cache.position().revision.unwrap_or_default()
}

fn unreadable(state: &State, is_kind: impl Fn(&Key) -> bool) -> Vec<String> {
    let keys = state.unreadable.keys().filter(|key| is_kind(key)).take(MAX_UNREADABLE);
    keys.map(|key| format!("{key} cannot be read and is left out")).collect()
}

impl<T: Item> Page<T> {
    /// The answer. `write` appends an item's text.
    pub(crate) fn answer(
        &self,
        headers: &HeaderMap,
        write: impl Fn(&mut Vec<u8>, &T) -> Result<(), serde_json::Error>,
    ) -> Answer {
        let mut hasher = DefaultHasher::new();
        self.items.iter().for_each(|item| item.hash_into(&mut hasher));
        (self.items.len(), &self.next, &self.warnings, self.is_stale.0).hash(&mut hasher);
        // Weak: the same list at a later revision has the same tag.
        let tag = format!("W/\"{:016x}\"", hasher.finish());
        tagged(headers, &tag, self.is_stale, |buffer| {
            let mut next = self.next.clone();
            let mut object = Object::new(buffer);
            object.field_with("items", |buffer| {
                let n_written = array(buffer, &self.items, MAX_PAGE_BYTES, &write)?;
                if n_written < self.items.len() {
                    let last = n_written.checked_sub(1).and_then(|last| self.items.get(last));
                    next = last.map(|item| encode(&item.names(), self.filter));
                }
                Ok(())
            })?;
            if let Some(next) = &next {
                object.field("continue", next)?;
            }
            object.field("revision", &self.revision)?;
            if self.is_stale.0 {
                object.field("stale", &true)?;
            }
            if !self.warnings.is_empty() {
                object.field("warnings", &self.warnings)?;
            }
            object.end();
            Ok(())
        })
    }
}
