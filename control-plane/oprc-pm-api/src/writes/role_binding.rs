//! Role bindings: who may do what.

use std::time::Duration;

use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{
    names::BindingName,
    role::{Kind, RoleBinding, Verb},
};

use super::{
    Error, Writes, Written,
    decision::{Decision, Document, Outcome, Principal, Push, Removal, Stamp, Step},
    draft::Spec,
    view::{Found, View},
};

/// How long the answer to a write waits for the cache to show it, where it does.
const SHOW_PATIENCE: Duration = Duration::from_secs(5);

impl Writes {
    /// Creates or replaces a role binding. From then on this replica decides by it.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`].
    pub async fn put_role_binding(&self, push: &Push<'_, RoleBinding>) -> Result<Written, Error> {
        let key = Key::RoleBinding(push.spec.name.clone());
        let decide = |view: &View<'_>, stamp: &Stamp<'_>| put(view, push, stamp);
        let written = self.settle(&key, true, decide).await?;
        self.show(written.revision).await;
        Ok(written)
    }

    /// Removes a role binding. From then on this replica decides without it.
    ///
    /// # Errors
    ///
    /// As [`Writes::put_package`].
    pub async fn delete_role_binding(
        &self,
        name: &BindingName,
        removal: &Removal<'_>,
    ) -> Result<Written, Error> {
        let decide = |view: &View<'_>, _: &Stamp<'_>| delete(view, name, removal);
        let key = Key::RoleBinding(name.clone());
        let written = self.remove(&key, true, removal, decide).await?;
        if removal.is_dry_run {
            return Ok(written);
        }
        // A removal's answer has the revision of what is gone.
        if self.freshness.wait().await.is_err() {
            tracing::warn!(name = %name, "a role binding was removed, which may not show yet");
        }
        Ok(written)
    }

    /// Waits for the cache to show what was written.
    async fn show(&self, revision: Revision) {
        if let Err(error) = self.cache.wait_for(revision, SHOW_PATIENCE).await {
            tracing::warn!(error = %error, "what was written does not show yet");
        }
    }
}

fn put<'p>(
    view: &View<'_>,
    push: &'p Push<'p, RoleBinding>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let binding = push.spec;
    push.by.authority.require_somewhere(push.verb.does(), Kind::RoleBinding)?;
    let key = Key::RoleBinding(binding.name.clone());
    let step = Step::of(&key, view.role_binding(&binding.name), binding)?;
    step.permit(&key, push)?;
    let outcome = step.outcome();
    let outdated = step.outdated(push.conditions);
    let principal = match step {
        Step::Keep(entry) => Principal::Kept(Document {
            key,
            meta: entry.value.meta.clone(),
            spec: Spec::StoredRoleBinding(entry.value),
            revision: entry.revision,
        }),
        step @ (Step::Create | Step::Recreate(_) | Step::Replace(_)) => {
            let spec = Spec::RoleBinding(binding);
            Principal::Written(step.draft_without_history(key, spec, None, push.by, stamp))
        }
    };
    let mut decision = Decision::new(outcome, principal);
    decision.warnings.extend(outdated);
    Ok(decision)
}

/// Removes it at once: nothing elsewhere is made of it.
fn delete<'p>(
    view: &View<'_>,
    name: &BindingName,
    removal: &Removal<'_>,
) -> Result<Decision<'p>, Error> {
    removal.by.authority.require_somewhere(Verb::Delete, Kind::RoleBinding)?;
    let key = Key::RoleBinding(name.clone());
    let entry = match view.role_binding(name) {
        Found::Absent => return Err(Error::NotFound { key: key.to_string() }),
        Found::Unreadable(reason) => {
            return Err(Error::Unreadable { key: key.to_string(), reason });
        }
        Found::Present(entry) => entry,
    };
    removal.conditions.check(&key, Some(&entry))?;
    let principal = Principal::Removed(Document {
        key,
        meta: entry.value.meta.clone(),
        spec: Spec::StoredRoleBinding(entry.value),
        revision: entry.revision,
    });
    Ok(Decision::new(Outcome::Removed, principal))
}
