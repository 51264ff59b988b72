//! Takes one complete listing of a CRM, within what one CRM may make us hold.
//!
//! Whatever a CRM sends, a listing ends: its pages, its records, their sum in bytes and its time are
//! bounded, and a `continue` that comes a second time is an error. A listing that exceeds a limit is
//! not believed at all: nothing is concluded from a part of one.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use oprc_crm_client::{CallError, Page};
use oprc_models::{names::UnitId, record::DeploymentRecord};
use oprc_observability::Brief;
use tokio::time::timeout;

use super::agent::{Agent, Failure};

/// Records in one page.
const PAGE: u32 = 500;

/// Pages of one listing. A CRM may send fewer records in a page than were asked for, or none.
const MAX_PAGES: usize = 5_000;

/// The longest time that one listing takes. Nothing is observed of a CRM while it is listed.
const MAX_TIME: Duration = Duration::from_secs(300);

/// What an allocation takes beside what it holds.
const ALLOCATION_BYTES: usize = 16;

/// What one CRM may make us hold: in its mirror, during a listing, and in the store.
///
/// A CRM that exceeds it is not believed; see the condition `ListingFailed` of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Records, those of other Package Managers included.
    pub max_records: usize,
    /// The sum of the records in memory, in bytes.
    pub max_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_records: 100_000, max_bytes: 128 * 1024 * 1024 }
    }
}

/// Records and bytes that are held of a CRM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) n_records: usize,
    pub(crate) bytes: usize,
}

impl Held {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.n_records += 1;
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.n_records = self.n_records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Fails where this is more than `budget` allows.
    pub(crate) fn check(self, budget: Budget) -> Result<(), ListingError> {
        let Self { n_records, bytes } = self;
        if n_records > budget.max_records {
            let max = budget.max_records;
            return Err(ListingError::OverBudget(format!("it reports more than {max} records")));
        }
        if bytes > budget.max_bytes {
            let max = budget.max_bytes;
            return Err(ListingError::OverBudget(format!(
                "its records take more than {max} bytes"
            )));
        }
        Ok(())
    }
}

/// What a record takes in memory, in bytes, within a few per cent.
pub(crate) fn weight(record: &DeploymentRecord) -> usize {
    let text = |text: &str| text.len() + ALLOCATION_BYTES;
    let optional =
        |text: &Option<String>| text.as_ref().map_or(0, |text| text.len() + ALLOCATION_BYTES);
    let status = &record.status;
    let names = [
        record.id.as_str(),
        record.deployment_key.as_str(),
        record.package_name.as_str(),
        record.class_key.as_str(),
        record.target_environment.as_str(),
        record.cluster_name.as_str(),
        &record.owner,
        &record.spec_hash,
        &status.phase,
    ];
    let functions = status.functions.iter().map(|function| {
        size_of_val(function)
            + text(function.function_key.as_str())
            + optional(&function.url)
            + optional(&function.reason)
            + optional(&function.message)
    });
    let references = record.resource_refs.iter().map(|word| size_of_val(word) + text(word));
    let instances = record.runtime.iter().flatten().map(|instance| {
        size_of_val(instance) + text(&instance.instance_id) + text(&instance.status)
    });
    size_of_val(record)
        + names.into_iter().map(text).sum::<usize>()
        + optional(&status.message)
        + functions.chain(references).chain(instances).sum::<usize>()
}

/// What a complete listing found.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The mirror's tick when it began.
    pub(crate) began: u64,
    /// The records that can be read. One that moved between pages is listed twice; the later counts.
    pub(crate) records: BTreeMap<UnitId, DeploymentRecord>,
    /// The units whose record cannot be read, and why.
    pub(crate) unreadable: BTreeMap<UnitId, String>,
    /// Why a record cannot be read of which not even the unit is known.
    pub(crate) nameless: Option<String>,
}

#[cfg(test)]
impl FromIterator<DeploymentRecord> for Listing {
    fn from_iter<I: IntoIterator<Item = DeploymentRecord>>(records: I) -> Self {
        let records = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        Self { records, ..Self::default() }
    }
}

/// Why there is no listing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListingError {
    /// A page was not answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The CRM makes us hold more than it may.
    #[error("the CRM exceeds its budget: {0}; nothing that it reports is believed")]
    OverBudget(String),
    /// The listing does not come to an end.
    #[error("the listing does not end: {0}")]
    Endless(&'static str),
}

impl ListingError {
    /// Why, in one CamelCase word: a condition's reason and a metric's label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Call(_) => "CallFailed",
            Self::OverBudget(_) => "BudgetExceeded",
            Self::Endless(_) => "Endless",
        }
    }

    /// Why, for people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Call(error) => Brief(error).to_string(),
            Self::OverBudget(_) | Self::Endless(_) => self.to_string(),
        }
    }
}

/// Takes one complete listing and the CRM's revision that it is from.
pub(crate) async fn list(agent: &Agent) -> Result<(Listing, u64), ListingError> {
    timeout(MAX_TIME, all_pages(agent))
        .await
        .unwrap_or(Err(ListingError::Endless("it took more than five minutes")))
}

async fn all_pages(agent: &Agent) -> Result<(Listing, u64), ListingError> {
    let caller = agent.caller();
    let mut listing = Listing { began: agent.mirror.lock().begin_listing(), ..Listing::default() };
    let mut held = Held::default();
    let (mut after, mut revision) = (None::<String>, None);
    let mut seen = BTreeSet::new();
    for _ in 0..MAX_PAGES {
        let page = match agent.call(agent.crm.list(&caller, after.as_deref(), PAGE)).await {
            Ok(page) => page,
            Err(Failure::Call(error)) => return Err(error.into()),
            Err(Failure::Parked) => {
                return Err(CallError::Unanswered { source: "the breaker is open".into() }.into());
            }
        };
        let Page { items, unreadable, r#continue, revision: of_page } = page;
        revision.get_or_insert(of_page);
        for record in items {
            held.add(weight(&record));
            listing.records.insert(record.id.clone(), record);
        }
        for record in unreadable {
            held.add(record.reason.len() + 2 * ALLOCATION_BYTES);
            match record.id {
                Some(id) => drop(listing.unreadable.insert(id, record.reason)),
                None => listing.nameless = Some(record.reason),
            }
        }
        held.check(agent.settings.budget)?;
        let Some(next) = r#continue else { return Ok((listing, revision.unwrap_or_default())) };
        let mut hasher = DefaultHasher::new();
        next.hash(&mut hasher);
        if !seen.insert(hasher.finish()) {
            return Err(ListingError::Endless("a page is continued where an earlier one was"));
        }
        after = Some(next);
    }
    Err(ListingError::Endless("it has too many pages"))
}
