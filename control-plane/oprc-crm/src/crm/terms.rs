//! Terms: which steps are plausible, and the operator's way to forget one.

use oprc_cp_storage::{Precondition, Txn};
use serde::Serialize;

use super::{Crm, MAX_OWNERS};
use crate::{
    Error,
    layout::{self, Term},
};

/// The largest step from one term of an owner to the next, and the largest first term.
///
/// Terms are revisions of the Package Manager's store, so steps are large where a CRM was out of
/// reach for long. Why 2^40: a store with 10,000 writes a second takes three and a half years to get
/// there, and it would take 16 million calls to step up to the last term there is.
pub(crate) const MAX_STEP: u64 = 1 << 40;

/// Refuses a term that is implausibly far above `current`, the newest one seen.
pub(super) fn check_step(current: u64, asked: u64) -> Result<(), Error> {
    if asked.saturating_sub(current) > MAX_STEP {
        return Err(Error::ImplausibleTerm { asked, current, max: MAX_STEP });
    }
    Ok(())
}

/// The highest term seen of an owner.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SeenTerm {
    /// The owner.
    pub(crate) owner: String,
    /// The term.
    pub(crate) term: u64,
}

impl Crm {
    /// The terms that are remembered, by owner.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], [`Error::Damaged`].
    pub(crate) async fn terms(&self) -> Result<Vec<SeenTerm>, Error> {
        let found = self.store.list(layout::TERMS, None, MAX_OWNERS, None).await?;
        let seen = found.items.iter().map(|item| {
            let owner = item.key.strip_prefix(layout::TERMS).unwrap_or(&item.key).to_owned();
            let Term { term } = serde_json::from_slice(&item.value)
                .map_err(|source| Error::Damaged { key: item.key.clone(), source })?;
            Ok(SeenTerm { owner, term })
        });
        seen.collect()
    }

    /// Forgets the term of `owner`, damaged or not: the next call may come in any term.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Store`].
    pub(crate) async fn forget_term(&self, owner: &str) -> Result<(), Error> {
        let key = layout::term_key(owner);
        let found = self.store.get(&key).await?.ok_or(Error::NotFound)?;
        let write = layout::delete(key, Precondition::At(found.mod_revision));
        self.commit(Txn { writes: vec![write], ..Txn::default() }).await?;
        tracing::warn!(owner, "forgot the term of an owner, as asked: calls of any term are taken");
        Ok(())
    }
}
