//! The sections of the Package Manager's settings that need no check beyond their types.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use envconfig::Envconfig;
use oprc_models::{names::ClusterName, version::VersionPolicy};

use crate::{
    log::{Filter, Format},
    parse::settings,
    value::{Invalid, Setting, Within},
};

settings! {
    /// Where the REST API listens and what it takes on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Server {
        /// Address that the REST API listens on. The default is reached from this machine alone.
        host: IpAddr = "OPRC_PM_SERVER_HOST" or "127.0.0.1",
        /// Port that the REST API listens on.
        port: u16 = "OPRC_PM_SERVER_PORT" or "8080",
        /// Threads that run the program; as many as the machine has processors when not set.
        worker_threads: Option<Within<1, 512>> = "OPRC_PM_SERVER_WORKER_THREADS",
        /// Largest body of a request, in bytes.
        ///
        /// Why 1 MiB: hundreds of classes fit, and a transaction stays below what etcd accepts.
        max_body_bytes: Within<1024, 1_048_576> = "OPRC_PM_SERVER_MAX_BODY_BYTES" or "1048576",
        /// Largest body of a push of many documents, in bytes.
        ///
        /// Why 16 MiB: 5,000 documents of 3 KiB; what is read takes several times that of memory.
        max_apply_bytes: Within<1024, 16_777_216> = "OPRC_PM_SERVER_MAX_APPLY_BYTES" or "16777216",
        /// Requests of each kind served at once, half from one address and a quarter from one subject at most; more are answered 429 with `Retry-After`.
        ///
        /// Why 1024: sixteen times what saturates the store, so that only a flood is refused.
        max_in_flight: Within<1, 65_536> = "OPRC_PM_SERVER_MAX_IN_FLIGHT" or "1024",
        /// Watches open at once, half from one address and a quarter from one subject at most; more are answered 429.
        ///
        /// Why 1024: half of the connections that are served, so that watches never shut out
        /// everybody else.
        max_watches: Within<1, 1536> = "OPRC_PM_SERVER_MAX_WATCHES" or "1024",
        /// Longest time between two bookmarks of a watch, in seconds.
        watch_bookmark_secs: Within<1, 3600> = "OPRC_PM_SERVER_WATCH_BOOKMARK_SECS" or "30",
        /// Longest time that a request may take, in seconds.
        request_timeout_secs: Within<1, 600> = "OPRC_PM_SERVER_REQUEST_TIMEOUT_SECS" or "30",
        /// Longest time from SIGTERM to the end of the process, in seconds.
        ///
        /// Why 10: a third of what Kubernetes waits before it kills.
        shutdown_grace_secs: Within<1, 300> = "OPRC_PM_SERVER_SHUTDOWN_GRACE_SECS" or "10",
    }
}

settings! {
    /// What is logged, and how.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Log {
        /// Which events are logged: a level, or a list like `info,oprc_controllers=debug`.
        level: Filter = "OPRC_PM_LOG_LEVEL" or "info",
        /// How an event is written: `json` for collectors, `text` for people.
        format: Format = "OPRC_PM_LOG_FORMAT" or "json",
    }
}

settings! {
    /// Where documents are kept.
    pub(super) struct StorageVariables {
        /// Where documents are kept: `embedded` in a file, for one replica; `etcd`, for several;
        /// `memory` for tests. When not set: `etcd` if `OPRC_PM_ETCD_ENDPOINTS` is set, else
        /// `embedded`.
        storage_type: Option<StorageType> = "OPRC_PM_STORAGE_TYPE",
        /// Folder of the embedded store; made if it is absent.
        data_dir: PathBuf = "OPRC_PM_DATA_DIR" or "./oprc-data",
    }
}

settings! {
    /// How CRMs are called. What is said of one CRM alone is in [`Crm`](super::Crm).
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct CrmCalls {
        /// Cluster for a deployment that names none, while it is connected and not unhealthy; must be
        /// one of those configured.
        default_cluster: Option<ClusterName> = "OPRC_PM_CRM_DEFAULT_CLUSTER",
        /// Time between two polls of a CRM that cannot be watched, in seconds.
        ///
        /// Why 5: what a person waits for without wondering.
        poll_interval_secs: Within<1, 3600> = "OPRC_PM_CRM_POLL_INTERVAL_SECS" or "5",
        /// Time between two full listings of a CRM that is watched, in seconds.
        ///
        /// Why 300: a listing finds what a watch lost; that is rare, and costs a page per 500 units.
        resync_interval_secs: Within<1, 86_400> = "OPRC_PM_CRM_RESYNC_INTERVAL_SECS" or "300",
        /// Calls to one CRM that may be under way at once.
        ///
        /// Why 12: 1,000 units in a second at 10 ms a call, without overrunning a small CRM.
        max_in_flight: Within<1, 1024> = "OPRC_PM_CRM_MAX_IN_FLIGHT" or "12",
        /// Failed calls in a row after which a CRM counts as unreachable and only a probe asks it.
        breaker_failures: Within<1, 1000> = "OPRC_PM_CRM_BREAKER_FAILURES" or "5",
        /// Time between two probes of an unreachable CRM, in milliseconds, at first; it grows with the
        /// outage, up to 10 s.
        ///
        /// Why 750: work goes on within a second of the CRM's return, at 1.3 wasted calls a second.
        breaker_probe_ms: Within<100, 300_000> = "OPRC_PM_CRM_BREAKER_PROBE_MS" or "750",
        /// Records that one CRM may report, those of other installations included. A CRM that exceeds
        /// this is not believed; the others go on.
        ///
        /// Why 100,000: several times what one cluster holds, and what one listing reads in a minute.
        max_records: Within<100, 10_000_000> = "OPRC_PM_CRM_MAX_RECORDS" or "100000",
        /// Memory that the records of one CRM may take, in MiB. The store takes about as much.
        ///
        /// Why 128: 100,000 records of a kilobyte, and a fraction of etcd's quota.
        max_records_mib: Within<1, 16_384> = "OPRC_PM_CRM_MAX_RECORDS_MIB" or "128",
    }
}

settings! {
    /// How the controllers work.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Controllers {
        /// Name of this Package Manager toward CRMs, before the slash of `{name}/{installation id}`.
        /// Units of another installation are never touched. All replicas must have the same.
        owner: Owner = "OPRC_PM_OWNER" or "oprc-pm",
        /// Wait after the first failure of a key, in milliseconds; it doubles with each further one.
        backoff_base_ms: Within<1, 60_000> = "OPRC_PM_BACKOFF_BASE_MS" or "50",
        /// Longest wait between two attempts at a key, in seconds.
        ///
        /// Why 60: a refused unit is tried again within a minute of being mended elsewhere.
        backoff_cap_secs: Within<1, 3600> = "OPRC_PM_BACKOFF_CAP_SECS" or "60",
        /// Revisions that are kept of each package and deployment besides what it is now; 0: none.
        ///
        /// Why 20: weeks of releases; of a hundred thousand deployments it is a few gigabytes in
        /// the store, were each replaced as often.
        history_limit: Within<0, 1000> = "OPRC_PM_HISTORY_LIMIT" or "20",
        /// Published versions that are kept of each package besides what it is now and those that
        /// something resolves to; 0: none.
        ///
        /// Why 20: as of revisions. Every replica has them in memory, as text.
        version_limit: Within<0, 1000> = "OPRC_PM_VERSION_LIMIT" or "20",
        /// Treatment of a push that changes what is published under its version: `replace` makes it
        /// a new generation of that version, `immutable` refuses it.
        ///
        /// Why `replace`: most packages say `version: 1.0` for ever. A package whose metadata has
        /// `immutable: true` is protected either way.
        version_policy: VersionPolicy = "OPRC_PM_VERSION_POLICY" or "replace",
    }
}

settings! {
    /// How replicas agree on a leader.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Leader {
        /// Lease time to live, in seconds. A crashed leader is replaced after at most this long.
        ///
        /// Why 5: renewed every fifth of it and given up at three fifths, so two lost renewals are
        /// survived; shorter trades false fail-overs for faster ones.
        ttl_secs: Within<2, 300> = "OPRC_PM_LEADER_TTL_SECS" or "5",
    }
}

/// What keeps the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StorageType {
    Embedded,
    Etcd,
    Memory,
}

impl FromStr for StorageType {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "etcd" => Ok(Self::Etcd),
            "memory" => Ok(Self::Memory),
            _ => Err(Invalid),
        }
    }
}

impl Setting for StorageType {
    fn want() -> String {
        "embedded, etcd or memory".to_owned()
    }
}

/// The name of a Package Manager toward CRMs.
///
/// Invariant: 1 to 63 of `[A-Za-z0-9._-]`, so it can be a header, a label and a query as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(Box<str>);

impl Owner {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let is_owner = (1..=63).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_owner { Ok(Self(text.into())) } else { Err(Invalid) }
    }
}

impl Setting for Owner {
    fn want() -> String {
        "1 to 63 of [A-Za-z0-9._-]".to_owned()
    }
}
