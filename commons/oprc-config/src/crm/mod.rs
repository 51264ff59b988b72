//! The configuration of the reference CRM, `oprc-crm`.
//!
//! Invariant: a parsed [`Config`] needs no further checks. That files can be read is checked at
//! start-up too, so that a wrong path does not wait for the first connection to be noticed.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use envconfig::Envconfig;
use oprc_models::names::{ClusterName, Key};

use crate::{
    Credential, Secret, env, log,
    parse::{Mistakes, Parser, Settings as _, Variable, settings},
    tls::{ServerPaths, ServerTls},
    value::{Invalid, List, Setting, Within},
};

/// What the name of each of its variables begins with.
const PREFIX: &str = "OPRC_CRM_";

settings! {
    /// The variables of `oprc-crm`.
    struct Variables {
        /// The cluster that it serves. Must be set.
        cluster_name: Option<ClusterName> = "OPRC_CRM_CLUSTER_NAME",
        /// Address to listen on. The default cannot be reached from another machine.
        host: IpAddr = "OPRC_CRM_HOST" or "127.0.0.1",
        /// Port to listen on.
        port: u16 = "OPRC_CRM_PORT" or "9090",
        /// Where what it holds is kept.
        storage_type: StorageType = "OPRC_CRM_STORAGE_TYPE" or "embedded",
        /// Folder of the embedded store; made if it is not there.
        data_dir: PathBuf = "OPRC_CRM_DATA_DIR" or "./oprc-crm-data",
        /// Which events are logged.
        log_level: log::Filter = "OPRC_CRM_LOG_LEVEL" or "info",
        /// How events are logged.
        log_format: log::Format = "OPRC_CRM_LOG_FORMAT" or "json",
        /// Serve without credentials on an address that other machines reach. Without this a CRM that
        /// listens there and has neither token nor client authorities does not start.
        allow_anonymous: bool = "OPRC_CRM_ALLOW_ANONYMOUS" or "false",
        /// Token that callers must send. Neither this nor a file: anyone may call.
        token: Option<Secret> = "OPRC_CRM_TOKEN",
        /// File with the token that callers must send, read again when it changes.
        token_file: Option<PathBuf> = "OPRC_CRM_TOKEN_FILE",
        /// PEM file of the server's certificate and its chain; with it, only TLS is spoken.
        tls_cert_path: Option<PathBuf> = "OPRC_CRM_TLS_CERT_PATH",
        /// PEM file of the certificate's private key.
        tls_key_path: Option<PathBuf> = "OPRC_CRM_TLS_KEY_PATH",
        /// PEM file of the authorities of client certificates; with it, callers must show one.
        tls_client_ca_path: Option<PathBuf> = "OPRC_CRM_TLS_CLIENT_CA_PATH",
        /// Seconds between two bookmarks of a watch. Well below the minute after which proxies
        /// close a silent connection.
        bookmark_secs: Within<1, 300> = "OPRC_CRM_BOOKMARK_SECS" or "15",
        /// Milliseconds that a simulated unit takes from being taken to being RUNNING.
        start_ms: Within<0, 3_600_000> = "OPRC_CRM_SIMULATED_START_MS" or "200",
        /// Milliseconds that a simulated unit takes to be removed.
        stop_ms: Within<0, 3_600_000> = "OPRC_CRM_SIMULATED_STOP_MS" or "100",
        /// Classes whose units end up DOWN.
        fail_classes: Option<List<Key>> = "OPRC_CRM_SIMULATED_FAIL_CLASSES",
        /// Nodes that the simulated cluster says it has.
        n_nodes: Within<0, 1_000_000> = "OPRC_CRM_SIMULATED_NODES" or "1",
        /// Share of time that the simulated cluster says it is up.
        availability: Share = "OPRC_CRM_SIMULATED_AVAILABILITY" or "0.99",
    }
}

/// The variables of `oprc-crm`, for `--help` and the README.
pub const VARIABLES: &[Variable] = Variables::VARIABLES;

/// The configuration of the reference CRM. See [`VARIABLES`] for the meaning of each field.
pub struct Config {
    /// The cluster that it serves.
    pub cluster_name: ClusterName,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Where what it holds is kept.
    pub storage: Storage,
    /// Which events are logged.
    pub log_level: log::Filter,
    /// How events are logged.
    pub log_format: log::Format,
    /// What callers must send; `None`: anyone may call.
    pub token: Option<Credential>,
    /// How connections are encrypted; `None`: not at all.
    pub tls: Option<ServerTls>,
    /// `true` if other machines can call without credentials.
    pub is_exposed: bool,
    /// Between two bookmarks of a watch.
    pub bookmark_interval: Duration,
    /// How the simulated runtime behaves.
    pub simulated: Simulated,
}

/// Where the CRM keeps what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a folder of this process alone.
    Embedded {
        /// The folder.
        data_dir: PathBuf,
    },
    /// Nowhere: everything is forgotten at the end of the process.
    Memory,
}

/// How the simulated runtime behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// From being taken to RUNNING.
    pub start: Duration,
    /// From the wish to delete to being gone.
    pub stop: Duration,
    /// Classes whose units end up DOWN.
    pub fail_classes: Vec<Key>,
    /// Nodes that the cluster says it has.
    pub n_nodes: u32,
    /// Share of time that the cluster says it is up, 0 to 1.
    pub availability: f64,
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

    /// Parses `variables`; those without the prefix `OPRC_CRM_` are ignored.
    ///
    /// # Errors
    ///
    /// Every mistake found.
    pub fn parse(variables: BTreeMap<String, String>) -> Result<Self, Mistakes> {
        let mut parser = Parser::new(variables, PREFIX);
        let is_named = parser.left().any(|name| name == "OPRC_CRM_CLUSTER_NAME");
        let variables: Variables = parser.section();
        if !is_named {
            let want = <ClusterName as Setting>::want();
            parser.mistake("OPRC_CRM_CLUSTER_NAME", format!("is not set: want {want}"));
        }
        let token = token(&mut parser, variables.token, variables.token_file);
        let tls = ServerPaths {
            cert: ("OPRC_CRM_TLS_CERT_PATH", variables.tls_cert_path),
            key: ("OPRC_CRM_TLS_KEY_PATH", variables.tls_key_path),
            client_ca: ("OPRC_CRM_TLS_CLIENT_CA_PATH", variables.tls_client_ca_path),
        }
        .check(&mut parser, true);
        let has_credentials = token.is_some()
            || tls.as_ref().is_some_and(|tls| tls.clients.is_some())
            || parser.is_wrong("OPRC_CRM_TOKEN_FILE")
            || parser.is_wrong("OPRC_CRM_TOKEN")
            || parser.is_wrong("OPRC_CRM_TLS_CLIENT_CA_PATH");
        let host = variables.host;
        let is_exposed = !host.to_canonical().is_loopback() && !has_credentials;
        if is_exposed && !variables.allow_anonymous {
            let problem = format!(
                "is not set, but the CRM listens on {host}, where other machines reach it: set this \
                 or OPRC_CRM_TOKEN_FILE or OPRC_CRM_TLS_CLIENT_CA_PATH, or \
                 OPRC_CRM_ALLOW_ANONYMOUS=true if every caller may do everything"
            );
            parser.mistake("OPRC_CRM_TOKEN", problem);
        }
        parser.finish()?;
        let Some(cluster_name) = variables.cluster_name else {
            unreachable!("a name that is missing or wrong is a mistake")
        };
        let storage = match variables.storage_type {
            StorageType::Embedded => Storage::Embedded { data_dir: variables.data_dir },
            StorageType::Memory => Storage::Memory,
        };
        Ok(Self {
            cluster_name,
            host: variables.host,
            port: variables.port,
            storage,
            log_level: variables.log_level,
            log_format: variables.log_format,
            token,
            tls,
            is_exposed,
            bookmark_interval: variables.bookmark_secs.secs(),
            simulated: Simulated {
                start: variables.start_ms.millis(),
                stop: variables.stop_ms.millis(),
                fail_classes: variables.fail_classes.map(|list| list.0).unwrap_or_default(),
                n_nodes: u32::try_from(variables.n_nodes.get()).unwrap_or(u32::MAX),
                availability: variables.availability.0,
            },
        })
    }
}

/// At most one of the two ways to give a token.
fn token(parser: &mut Parser, value: Option<Secret>, file: Option<PathBuf>) -> Option<Credential> {
    match (value, file) {
        (Some(_), Some(_)) => {
            parser.mistake("OPRC_CRM_TOKEN_FILE", "is set, and OPRC_CRM_TOKEN too: want one");
            None
        }
        (Some(secret), None) => Some(Credential::Value(secret)),
        (None, Some(path)) => {
            let credential = Credential::File(path);
            if let Err(err) = credential.read() {
                parser.mistake("OPRC_CRM_TOKEN_FILE", format!("cannot be used: {err}"));
            }
            Some(credential)
        }
        (None, None) => None,
    }
}

/// Where the CRM keeps what it holds, in one word.
#[derive(Clone, Copy)]
enum StorageType {
    Embedded,
    Memory,
}

impl FromStr for StorageType {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "memory" => Ok(Self::Memory),
            _ => Err(Invalid),
        }
    }
}

impl Setting for StorageType {
    fn want() -> String {
        "embedded or memory (forgets everything at the end)".to_owned()
    }
}

impl Setting for Key {
    fn want() -> String {
        "a key: 1 to 253 of [A-Za-z0-9._-], beginning with a letter or digit".to_owned()
    }
}

/// A share, 0 to 1.
struct Share(f64);

impl FromStr for Share {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let share = text.parse().map_err(|_| Invalid)?;
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(Invalid) }
    }
}

impl Setting for Share {
    fn want() -> String {
        "a number from 0 to 1".to_owned()
    }
}

#[cfg(test)]
mod tests;
