//! `oprc-pm recover`: makes a store that was put back from a backup usable again.
//!
//! A restored store counts revisions again that CRMs have already seen as terms, so they refuse its
//! leader. This reads from each CRM the highest term that it has seen of the installation, and
//! raises the store's term offset above all of them. Generations need nothing: CRMs report those that
//! they hold, and the planner continues above them.
//!
//! Two installations on copies of one store would take turns at refusing each other. So nothing is
//! changed while a replica of the installation still runs: the election key is held, or a CRM has
//! heard it a moment ago.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use oprc_config::pm::{Config, Storage};
use oprc_controller_runtime::leading::LeaseRuntime;
use oprc_cp_storage::{
    Error as StoreError, Op, Precondition, SharedStore, Txn, Write, keys::Key, typed,
};
use oprc_crm_client::{CallError, Caller};
use oprc_models::{
    cluster::{ClusterSpec, KnownCaller, features},
    installation::Installation,
    meta::Timestamp,
    names::ClusterName,
};
use oprc_observability::Report;
use tokio::time::{Instant, sleep};

use crate::{
    crms::connect,
    storage::{self, OpenError, STORE_FILE},
};

/// A leader calls each CRM more often than this, its health at the least.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How long a leader that has just been stopped may still look alive.
const PATIENCE: Duration = Duration::from_secs(45);

/// Between two looks.
const PACE: Duration = Duration::from_secs(1);

/// By how much terms are raised for a CRM that does not say which it has seen: more writes than a
/// store takes in years.
const MARGIN: u64 = 1 << 32;

/// The most that a CRM may have seen above the store's own terms. No leader gets further: terms are
/// revisions, and CRMs refuse larger steps themselves. One CRM must not be able to raise our terms to
/// where every other refuses them.
const MAX_STEP: u64 = 1 << 40;

/// What the operator asks for.
#[derive(Clone, Debug, Default)]
pub struct RecoverOptions {
    /// Goes on without the CRMs that do not answer or do not tell the terms that they have seen.
    pub skips_unknown: bool,
    /// The installation's id, where the backup is from before it had one.
    pub installation: Option<String>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is no store to recover.
    #[error("there is no store at {0}")]
    NoStore(String),
    /// The store cannot be opened: a running replica holds the file, for example.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The thread for the store's connection cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The store did not answer or did not take the write.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The stored installation cannot be read or written.
    #[error(transparent)]
    Codec(#[from] typed::CodecError),
    /// The store has no id and none was given.
    #[error(
        "the store has no installation id: it is empty, or its backup is from before there were ids. \
         In the second case give the id after the slash in `Shared` of a cluster's status with \
         --installation"
    )]
    NoInstallation,
    /// `--installation` contradicts the store.
    #[error("the store is of installation {stored}, not {given}")]
    OtherInstallation {
        /// The store's id.
        stored: String,
        /// What was given.
        given: String,
    },
    /// The given id is not one.
    #[error("{0:?} is not an installation id: want 1 to 64 of [A-Za-z0-9-]")]
    BadInstallation(String),
    /// A replica holds the election key.
    #[error("a replica leads on this store ({0}): stop all replicas first")]
    Leading(String),
    /// A CRM still hears the installation.
    #[error(
        "cluster {cluster} heard installation {owner} {idle_secs} s ago: it runs elsewhere, on this \
         store or on a copy of it. Stop all replicas first"
    )]
    Alive {
        /// The cluster.
        cluster: ClusterName,
        /// The installation.
        owner: String,
        /// How long ago.
        idle_secs: u64,
    },
    /// Some CRMs did not say which term they have seen.
    #[error(
        "not every CRM said which term it has seen ({0}). Mend them, or go on without them with \
         --skip-unknown: then run this again if such a cluster shows TermTooOld"
    )]
    Unknown(String),
}

/// What was done.
#[derive(Debug)]
pub struct Recovered {
    owner: String,
    seen: BTreeMap<ClusterName, Option<u64>>,
    skipped: BTreeMap<ClusterName, String>,
    /// Terms are above this from now on.
    above: u64,
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "installation {}: its terms continue above {}", self.owner, self.above)?;
        for (cluster, term) in &self.seen {
            match term {
                Some(term) => writeln!(f, "  {cluster} has seen term {term}")?,
                None => writeln!(f, "  {cluster} has seen no term of it")?,
            }
        }
        for (cluster, why) in &self.skipped {
            writeln!(f, "  {cluster} was skipped: {why}")?;
        }
        write!(f, "Start the replicas now.")
    }
}

/// Recovers the store that `config` names.
///
/// # Errors
///
/// See [`RecoverError`]. Nothing was changed then.
pub async fn recover(config: &Config, options: &RecoverOptions) -> Result<Recovered, RecoverError> {
    if let Storage::Embedded { data_dir } = &config.storage {
        let file = data_dir.join(STORE_FILE);
        if !file.is_file() {
            return Err(RecoverError::NoStore(file.display().to_string()));
        }
    }
    let runtime = LeaseRuntime::start().map_err(RecoverError::Thread)?;
    let store = storage::open(&config.storage, runtime.handle()).await?.lease;
    let stored = store.get(&Key::Installation.to_string()).await?;
    let precondition = stored
        .as_ref()
        .map_or(Precondition::Absent, |stored| Precondition::At(stored.mod_revision));
    let stored = stored.as_ref().map(typed::decode::<Installation>).transpose()?;
    let mut installation = installation(stored, options)?;
    let owner = installation.owner(config.controllers.owner.as_str());

    let give_up = Instant::now() + PATIENCE;
    nobody_leads(&store, give_up).await?;
    let mut known = ask_all(config, &owner, give_up).await?;
    let head = store.head().await?;
    let ours = installation.term_offset.saturating_add(head.0);
    known.doubt_implausible(ours);
    let Known { seen, skipped } = known;
    if !skipped.is_empty() && !options.skips_unknown {
        let named = skipped.iter().map(|(cluster, why)| format!("{cluster}: {why}"));
        return Err(RecoverError::Unknown(named.collect::<Vec<_>>().join("; ")));
    }
    let highest = seen.values().flatten().copied().max().unwrap_or_default().max(ours);
    let margin = if skipped.is_empty() { 0 } else { MARGIN };
    let above = highest.saturating_add(margin);
    installation.raise_terms(above, head.0);
    installation.recovered_at = Some(Timestamp::now());
    let op = Op::Put(typed::encode(&Key::Installation, &installation)?);
    let write = Write { key: Key::Installation.to_string(), precondition, op };
    store.txn(Txn { checks: Vec::new(), writes: vec![write] }).await?;
    Ok(Recovered { owner, seen, skipped, above })
}

/// Returns the stored installation, or one with the given id.
fn installation(
    stored: Option<Installation>,
    options: &RecoverOptions,
) -> Result<Installation, RecoverError> {
    let given = options.installation.as_ref();
    if let Some(given) = given {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !(1..=64).contains(&given.len()) || !given.bytes().all(is_allowed) {
            return Err(RecoverError::BadInstallation(given.clone()));
        }
    }
    match (stored, given) {
        (Some(stored), Some(given)) if stored.id != *given => {
            Err(RecoverError::OtherInstallation { stored: stored.id, given: given.clone() })
        }
        (Some(stored), _) => Ok(stored),
        (None, Some(given)) => Ok(Installation::new(given.clone(), Timestamp::now())),
        (None, None) => Err(RecoverError::NoInstallation),
    }
}

/// Waits until the election key is free. A snapshot may hold it, for as long as its lease then lives.
async fn nobody_leads(store: &SharedStore, give_up: Instant) -> Result<(), RecoverError> {
    let key = Key::Leader("pm".to_owned()).to_string();
    while let Some(holder) = store.get(&key).await? {
        if Instant::now() >= give_up {
            let holder = String::from_utf8_lossy(&holder.value).into_owned();
            return Err(RecoverError::Leading(holder));
        }
        sleep(PACE).await;
    }
    Ok(())
}

/// What the CRMs know of the installation.
#[derive(Default)]
struct Known {
    /// The highest term that each has seen.
    seen: BTreeMap<ClusterName, Option<u64>>,
    /// Those that did not say; each with the reason.
    skipped: BTreeMap<ClusterName, String>,
}

impl Known {
    /// Skips the CRMs that claim a term which no leader can have had; the store is at `ours`.
    fn doubt_implausible(&mut self, ours: u64) {
        let bound = ours.saturating_add(MAX_STEP);
        for (cluster, term) in std::mem::take(&mut self.seen) {
            match term {
                Some(term) if term > bound => {
                    let why = format!("it claims to have seen term {term}, far above {ours}");
                    self.skipped.insert(cluster, why);
                }
                term => {
                    self.seen.insert(cluster, term);
                }
            }
        }
    }
}

/// Asks all CRMs, until none has heard the installation for [`SIGN_OF_LIFE`].
async fn ask_all(config: &Config, owner: &str, give_up: Instant) -> Result<Known, RecoverError> {
    let connect = connect(&config.crms, config.crm_calls.max_in_flight.count());
    let caller = Caller { term: None, owner: owner.into(), correlation_id: None };
    let asked = config.crms.iter().map(|crm| {
        let endpoints = crm.endpoints.iter().map(|url| url.as_str().to_owned()).collect();
        let spec = ClusterSpec { name: crm.name.clone(), endpoints };
        let (connect, caller) = (Arc::clone(&connect), caller.clone());
        async move { (spec.name.clone(), ask(&connect, &spec, &caller, give_up).await) }
    });
    let mut known = Known::default();
    for (cluster, answer) in futures::future::join_all(asked).await {
        match answer {
            Ok(KnownCaller { idle_secs: Some(idle_secs), .. })
                if idle_secs < SIGN_OF_LIFE.as_secs() =>
            {
                return Err(RecoverError::Alive { cluster, owner: owner.to_owned(), idle_secs });
            }
            Ok(caller) => {
                known.seen.insert(cluster, caller.term);
            }
            Err(why) => {
                known.skipped.insert(cluster, why);
            }
        }
    }
    Ok(known)
}

/// Asks one CRM what it knows of `caller`'s owner, until it has not heard that for
/// [`SIGN_OF_LIFE`]. An error says why it is not known.
async fn ask(
    connect: &oprc_controllers::Connect,
    spec: &ClusterSpec,
    caller: &Caller,
    give_up: Instant,
) -> Result<KnownCaller, String> {
    let crm = connect(spec)?;
    loop {
        let health = crm.health(caller).await;
        let health = health.map_err(|error: CallError| Report(&error).to_string())?;
        if health.cluster_name != spec.name {
            return Err(format!("the CRM says that it serves {}", health.cluster_name));
        }
        let Some(known) = health.caller else {
            let has_terms = health.features.iter().any(|feature| feature == features::TERMS);
            return if has_terms {
                Err("the CRM keeps terms and does not say which it has seen".to_owned())
            } else {
                Ok(KnownCaller::default())
            };
        };
        let is_alive = known.idle_secs.is_some_and(|idle| idle < SIGN_OF_LIFE.as_secs());
        if !is_alive || Instant::now() >= give_up {
            return Ok(known);
        }
        sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CRM that lies cannot raise terms to where all others refuse them.
    #[test]
    fn implausible_terms_are_skipped() {
        let name = |name: &str| name.parse::<ClusterName>().unwrap();
        let mut known = Known::default();
        known.seen.insert(name("new"), None);
        known.seen.insert(name("ahead"), Some(7 + MAX_STEP));
        known.seen.insert(name("liar"), Some(8 + MAX_STEP));
        known.seen.insert(name("worse"), Some(u64::MAX));
        known.doubt_implausible(7);
        assert_eq!(known.seen.into_keys().collect::<Vec<_>>(), [name("ahead"), name("new")]);
        assert_eq!(known.skipped.into_keys().collect::<Vec<_>>(), [name("liar"), name("worse")]);
    }
}
