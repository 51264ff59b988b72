//! Configuration of the Package Manager, `OPRC_PM_*`.

mod audit;
mod auth;
mod crms;
mod etcd;
mod limits;
mod sections;
mod tls;

use std::{collections::BTreeMap, path::PathBuf};

use oprc_models::names::ClusterName;

use crate::{
    env,
    parse::{Mistakes, Parser, Settings as _, Variable},
    tls::ServerTls,
};

pub use self::{
    audit::{Audit, AuditLog, OnFailure},
    auth::{Auth, JwksUrl, Jwt},
    crms::Crm,
    etcd::{Etcd, Login},
    limits::{Around, Network, Origin, RateLimits},
    sections::{Controllers, CrmCalls, Leader, Log, Server},
};
use self::{
    auth::AuthVariables,
    crms::CrmVariables,
    etcd::EtcdVariables,
    sections::{StorageType, StorageVariables},
    tls::TlsVariables,
};

/// What every variable of the Package Manager begins with.
pub const PREFIX: &str = "OPRC_PM_";

/// The variables, by section, for `--help` and the README.
pub const VARIABLES: &[&[Variable]] = &[
    Server::VARIABLES,
    TlsVariables::VARIABLES,
    Around::VARIABLES,
    RateLimits::VARIABLES,
    Audit::VARIABLES,
    AuthVariables::VARIABLES,
    Log::VARIABLES,
    StorageVariables::VARIABLES,
    EtcdVariables::VARIABLES,
    CrmVariables::VARIABLES,
    CrmCalls::VARIABLES,
    Controllers::VARIABLES,
    Leader::VARIABLES,
];

/// The configuration of the Package Manager.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Config {
    /// Where the REST API listens and what it takes on.
    pub server: Server,
    /// How connections to it are encrypted; `None`: not at all.
    pub tls: Option<ServerTls>,
    /// Who stands between callers and it.
    pub around: Around,
    /// How much one caller may ask for.
    pub rate_limits: RateLimits,
    /// Where it is written down who has written what.
    pub audit: Audit,
    /// Who may call it.
    pub auth: Auth,
    /// What is logged, and how.
    pub log: Log,
    /// Where documents are kept.
    pub storage: Storage,
    /// The CRMs, ordered by cluster.
    pub crms: Vec<Crm>,
    /// How CRMs are called.
    pub crm_calls: CrmCalls,
    /// The cluster for a deployment that names none. Invariant: it is one of `crms`.
    pub default_cluster: Option<ClusterName>,
    /// How the controllers work.
    pub controllers: Controllers,
    /// How replicas agree on a leader.
    pub leader: Leader,
}

/// Where documents are kept.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum Storage {
    /// In memory, lost at the end of the process: for tests.
    Memory,
    /// In a file of this process alone.
    Embedded {
        /// Folder of the file; made if it is absent.
        data_dir: PathBuf,
    },
    /// In etcd, shared by replicas.
    Etcd(Etcd),
}

impl Config {
    /// Reads the environment of the process.
    ///
    /// # Errors
    ///
    /// Every mistake found.
    pub fn from_env() -> Result<Self, Mistakes> {
        Self::parse(env::with_prefix(PREFIX))
    }

    /// Parses `variables`, looking at none that does not begin with [`PREFIX`]. Certificates and
    /// token files that are named must be there.
    ///
    /// # Errors
    ///
    /// Every mistake found.
    pub fn parse(variables: BTreeMap<String, String>) -> Result<Self, Mistakes> {
        let mut parser = Parser::new(variables, PREFIX);
        let server: Server = parser.section();
        let auth = Auth::parse(&mut parser, server.host);
        let tls = tls::parse(&mut parser);
        let around = parser.section();
        let rate_limits = parser.section();
        let audit = parser.section();
        let log = parser.section();
        let storage = Storage::parse(&mut parser);
        let crm_calls: CrmCalls = parser.section();
        let controllers: Controllers = parser.section();
        let leader = parser.section();
        let crms = crms::parse(&mut parser);
        let default_cluster = crms::default_cluster(&mut parser, &crm_calls, &crms);
        check_order(&mut parser, &crm_calls, &controllers);
        parser.finish()?;
        Ok(Self {
            server,
            tls,
            around,
            rate_limits,
            audit,
            auth,
            log,
            storage,
            crms: crms.usable,
            crm_calls,
            default_cluster,
            controllers,
            leader,
        })
    }
}

impl Storage {
    fn parse(parser: &mut Parser) -> Self {
        let variables: StorageVariables = parser.section();
        match (variables.storage_type, Etcd::parse(parser, variables.storage_type)) {
            (Some(StorageType::Memory), _) => Self::Memory,
            (None | Some(StorageType::Etcd), Some(etcd)) => Self::Etcd(etcd),
            // An etcd that is wanted and not usable is a mistake, so this value never leaves
            // `Config::parse` then.
            (Some(StorageType::Embedded), _) | (None | Some(StorageType::Etcd), None) => {
                Self::Embedded { data_dir: variables.data_dir }
            }
        }
    }
}

/// A limit below what it limits would make the setting meaningless.
fn check_order(parser: &mut Parser, calls: &CrmCalls, controllers: &Controllers) {
    if calls.resync_interval_secs.secs() < calls.poll_interval_secs.secs() {
        parser.mistake(
            "OPRC_PM_CRM_RESYNC_INTERVAL_SECS",
            "is shorter than OPRC_PM_CRM_POLL_INTERVAL_SECS",
        );
    }
    if controllers.backoff_cap_secs.secs() < controllers.backoff_base_ms.millis() {
        parser.mistake("OPRC_PM_BACKOFF_CAP_SECS", "is shorter than OPRC_PM_BACKOFF_BASE_MS");
    }
}

#[cfg(test)]
mod tests;
