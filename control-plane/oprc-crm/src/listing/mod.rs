//! Pages of records, as of one revision.
//!
//! What the store holds is what is answered: the JSON of a record is copied, not decoded; filters
//! read the five fields that they need.

use std::{borrow::Cow, fmt, str::FromStr};

use bytes::Bytes;
use oprc_cp_storage::{Error as StoreError, Revision};
use oprc_models::record::RunCondition;
use serde::{Deserialize, de::IgnoredAny};

use crate::{Error, crm::Crm, feed::Mark, layout};

#[cfg(test)]
mod tests;

/// Records of a page when the caller does not say.
pub(crate) const DEFAULT_LIMIT: usize = 500;
/// The most records of a page.
pub(crate) const MAX_LIMIT: usize = 1_000;
/// The most bytes of a page's records; one record is always given.
const MAX_PAGE_BYTES: usize = 4 << 20;
/// The most records looked at for one page. A page of a filter that few records pass is short, or
/// empty, and has a `continue`.
const MAX_SCANNED: usize = 10_000;
/// Records read from the store at a time.
const CHUNK: usize = 1_000;

/// Which records are asked for; a field that is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) package: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) env: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) status: Option<RunCondition>,
}

/// What filters look at in a record.
#[derive(Debug, Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    package_name: Cow<'a, str>,
    #[serde(borrow)]
    class_key: Cow<'a, str>,
    #[serde(borrow)]
    target_environment: Cow<'a, str>,
    #[serde(borrow, default)]
    owner: Cow<'a, str>,
    status: StatusFields,
}

#[derive(Debug, Deserialize)]
struct StatusFields {
    condition: RunCondition,
}

impl Filter {
    /// Whether the record `json` passes. One that cannot be read never does.
    pub(crate) fn passes(&self, json: &[u8]) -> bool {
        if *self == Self::default() {
            // Copied into an answer, damaged text would damage all of it.
            return serde_json::from_slice::<IgnoredAny>(json).is_ok();
        }
        let Ok(fields) = serde_json::from_slice::<Fields<'_>>(json) else { return false };
        let is = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked == is);
        is(&self.package, &fields.package_name)
            && is(&self.class, &fields.class_key)
            && is(&self.env, &fields.target_environment)
            && is(&self.owner, &fields.owner)
            && self.status.is_none_or(|status| status == fields.status.condition)
    }
}

/// Where the next page begins. Callers pass it back as they got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continue {
    /// What the listing is of.
    revision: Revision,
    /// The last id that was looked at.
    after: String,
}

impl fmt::Display for Continue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.revision, self.after)
    }
}

/// Not a token of this CRM's.
#[derive(Debug)]
pub(crate) struct InvalidContinue;

impl FromStr for Continue {
    type Err = InvalidContinue;
    fn from_str(token: &str) -> Result<Self, InvalidContinue> {
        let (revision, after) = token.split_once('.').ok_or(InvalidContinue)?;
        let revision = Revision(revision.parse().map_err(|_| InvalidContinue)?);
        Ok(Self { revision, after: after.to_owned() })
    }
}

/// The body of one page: a `RecordPage`.
pub(crate) async fn page(
    crm: &Crm,
    filter: &Filter,
    limit: usize,
    from: Option<Continue>,
) -> Result<Bytes, Error> {
    let mut at = from.as_ref().map(|from| from.revision);
    let mut after = from.map(|from| format!("{}{}", layout::RECORDS, from.after));
    let mut body = br#"{"items":["#.to_vec();
    let (mut n_items, mut n_scanned) = (0, 0);
    let is_filtered = *filter != Filter::default();
    let chunk = if is_filtered { CHUNK } else { CHUNK.min(limit + 1) };
    loop {
        let page = crm.store.list(layout::RECORDS, after.as_deref(), chunk, at).await;
        let page = page.map_err(|err| match err {
            StoreError::Compacted { asked } => Error::Expired { asked: Mark::end_of(asked).0 },
            err => err.into(),
        })?;
        at = Some(page.revision);
        let mut is_full = false;
        for item in &page.items {
            if n_items >= limit || n_scanned >= MAX_SCANNED || body.len() >= MAX_PAGE_BYTES {
                is_full = true;
                break;
            }
            n_scanned += 1;
            after = Some(item.key.clone());
            if filter.passes(&item.value) {
                if n_items > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(&item.value);
                n_items += 1;
            }
        }
        if is_full || !page.has_more {
            let last = after.filter(|_| is_full).unwrap_or_default();
            let after = last.strip_prefix(layout::RECORDS).map(ToOwned::to_owned);
            let next = after.map(|after| Continue { revision: page.revision, after });
            return Ok(close(body, page.revision, next.as_ref()));
        }
    }
}

/// Ends the JSON of a page. A token needs no escaping: a number, a point and an id.
fn close(mut body: Vec<u8>, revision: Revision, next: Option<&Continue>) -> Bytes {
    body.extend_from_slice(b"]");
    if let Some(next) = next {
        body.extend_from_slice(format!(r#","continue":"{next}""#).as_bytes());
    }
    let revision = Mark::end_of(revision);
    body.extend_from_slice(format!(r#","revision":{revision}}}"#).as_bytes());
    Bytes::from(body)
}
