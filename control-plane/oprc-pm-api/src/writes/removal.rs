//! Removals, and dry runs of them.

use oprc_cp_storage::{Precondition, keys::Key};

use super::{
    Error, Writes, Written,
    bundle::Scope,
    decision::{Decision, Principal, Removal, Stamp},
    view::{Seen, View},
    written,
};

impl Writes {
    /// Decides on a removal and carries it out, as [`Writes::settle`] does. In a dry run it decides
    /// on a fresh view and writes nothing.
    pub(super) async fn remove<'p>(
        &self,
        key: &Key,
        begins_fresh: bool,
        removal: &Removal<'_>,
        decide: impl Fn(&View<'_>, &Stamp<'_>) -> Result<Decision<'p>, Error>,
    ) -> Result<Written, Error> {
        if !removal.is_dry_run {
            return self.settle(key, begins_fresh, decide).await;
        }
        if self.cache.position().revision.is_none() {
            return Err(Error::NotReady);
        }
        self.freshness.wait().await?;
        let stamp = self.stamp((self.now)());
        let decision = {
            let state = self.cache.read();
            decide(&View::new(&state, &Seen::default(), Scope::alone()), &stamp)?
        };
        // The revision that the document has: nothing writes it.
        let (text, revision) = match &decision.principal {
            Principal::Written(draft) => match draft.precondition {
                Precondition::At(revision) => (draft.encode()?.spec(), revision),
                Precondition::Absent | Precondition::CreatedAt(_) => {
                    return Err(Error::NotFound { key: key.to_string() });
                }
            },
            Principal::Kept(document) | Principal::Removed(document) => {
                (document.spec.encode()?, document.revision)
            }
        };
        let written = written(vec![decision], vec![text], revision).into_iter().next();
        Ok(written.unwrap_or_else(|| unreachable!("one decision has one answer")))
    }
}
