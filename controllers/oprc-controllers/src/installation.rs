//! The installation: read at the beginning of a term, and made by the first leader.

use std::time::Duration;

use oprc_controller_runtime::leading::Term;
use oprc_cp_storage::{Op, Precondition, SharedStore, Txn, Write, keys::Key, typed};
use oprc_models::{installation::Installation, meta::Timestamp};
use oprc_observability::Report;
use tokio::time::sleep;

use crate::context::Now;

/// Between two tries while the store does not answer, or holds what cannot be read.
const RETRY: Duration = Duration::from_secs(1);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the installation of `store`, and makes it with the id `new_id` where there is none. Retries
/// until `term` ends: `None`.
///
/// Nothing may be sent to a CRM before it is known. One that cannot be read is never replaced: a new
/// id would make all that CRMs hold somebody else's.
pub async fn ensure(
    store: &SharedStore,
    term: &Term,
    new_id: &str,
    now: &Now,
) -> Option<Installation> {
    let ensuring = async {
        loop {
            match read_or_make(store, term, new_id, now()).await {
                Ok(Some(installation)) => return installation,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(error = %Report(&*error), "the installation is not known yet");
                }
            }
            sleep(RETRY).await;
        }
    };
    tokio::select! {
        biased;
        () = term.ended().cancelled() => None,
        installation = ensuring => Some(installation),
    }
}

/// Returns the installation; `None` after it was made.
async fn read_or_make(
    store: &SharedStore,
    term: &Term,
    new_id: &str,
    now: Timestamp,
) -> Result<Option<Installation>, Failure> {
    let key = Key::Installation;
    if let Some(stored) = store.get(&key.to_string()).await? {
        let installation: Installation = typed::decode(&stored)?;
        if installation.recovered_at.is_some() {
            // This term reports it, and lists everything as each new term does.
            let reported = Installation { recovered_at: None, ..installation.clone() };
            let op = Op::Put(typed::encode(&key, &reported)?);
            let precondition = Precondition::At(stored.mod_revision);
            let write = Write { key: key.to_string(), precondition, op };
            store.txn(Txn { checks: vec![term.fence()], writes: vec![write] }).await?;
        }
        return Ok(Some(installation));
    }
    let value = typed::encode(&key, &Installation::new(new_id.to_owned(), now))?;
    let (key, op) = (key.to_string(), Op::Put(value));
    let write = Write { key, precondition: Precondition::Absent, op };
    store.txn(Txn { checks: vec![term.fence()], writes: vec![write] }).await?;
    tracing::info!(id = new_id, "installation made");
    Ok(None)
}
