//! What is asked of a deployment beside its spec: to pause, to go on, to start anew.
//!
//! It is kept in the document's `meta`, so that a push of the document does not undo it.

use std::sync::Arc;

use oprc_cp_storage::{Precondition, keys::Key};
use oprc_models::{meta::Meta, names::DeploymentKey, role::Verb};

use super::{
    Error,
    decision::{Decision, Outcome, Principal, Removal, Stamp, next_meta},
    deployment::{existing, kept},
    draft::{Draft, Spec},
    view::View,
};

/// What is asked of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To send nothing of it to any cluster.
    Pause,
    /// To send again what there is to send.
    Resume,
    /// To replace it on every cluster by the same.
    Restart,
}

/// What is remembered of a restart.
const RESTART_NOTE: &str = "restart";

pub(super) fn ask<'p>(
    view: &View<'_>,
    key: &DeploymentKey,
    ask: Ask,
    request: &Removal<'_>,
    stamp: &Stamp<'_>,
) -> Result<Decision<'p>, Error> {
    let entry = existing(view, key, Verb::Update, request)?;
    let key = Key::Deployment(key.clone());
    let before = &entry.value.meta;
    let correlation_id = request.by.correlation_id.map(str::to_owned);
    let meta = match ask {
        // What is on its way out is neither held back nor started anew.
        _ if before.is_deleting() => None,
        Ask::Pause if before.paused_at.is_some() => None,
        Ask::Pause => Some(Meta { paused_at: Some(stamp.now), correlation_id, ..before.clone() }),
        Ask::Resume if before.paused_at.is_none() => None,
        Ask::Resume => Some(Meta { paused_at: None, correlation_id, ..before.clone() }),
        Ask::Restart => {
            let meta = request.by.stamped(next_meta(before, stamp));
            let note = Some(RESTART_NOTE.to_owned());
            Some(Meta { restart: Some(meta.generation), revision_note: note, ..meta })
        }
    };
    let Some(meta) = meta else {
        return Ok(Decision::new(Outcome::Unchanged, kept(key, &entry)));
    };
    let is_new = meta.generation != before.generation;
    let former = is_new.then(|| Arc::clone(&entry.value).into());
    let precondition = Precondition::At(entry.revision);
    let spec = Spec::StoredDeployment(entry.value);
    let draft = Draft { key, precondition, meta, spec, former };
    Ok(Decision::new(Outcome::Replaced, Principal::Written(draft)))
}
