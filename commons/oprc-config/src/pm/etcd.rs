//! How etcd is reached.

use std::{path::PathBuf, str::FromStr, time::Duration};

use envconfig::Envconfig;

use crate::{
    Credential, Endpoint, Secret,
    parse::{Parser, settings},
    tls::{Paths, Tls, check_readable},
    value::{Invalid, List, Setting, Within},
};

use super::sections::StorageType;

settings! {
    /// How etcd is reached.
    pub(super) struct EtcdVariables {
        /// URLs of etcd, separated by commas; needed when the storage type is `etcd`. One without a
        /// scheme, such as `etcd-1:2379`, is `https` when certificates are set, else `http`.
        endpoints: Option<List<Member>> = "OPRC_PM_ETCD_ENDPOINTS",
        /// User name, where etcd asks for one.
        username: Option<String> = "OPRC_PM_ETCD_USERNAME",
        /// Password of the user.
        password: Option<Secret> = "OPRC_PM_ETCD_PASSWORD",
        /// File with the password of the user, in place of the password itself. Read again for new connections, and when the password is refused.
        password_file: Option<PathBuf> = "OPRC_PM_ETCD_PASSWORD_FILE",
        /// What every key begins with. Two installations may share an etcd under different prefixes.
        key_prefix: KeyPrefix = "OPRC_PM_ETCD_KEY_PREFIX" or "/oaas/pm",
        /// PEM file of the authorities that etcd's certificate is checked against.
        ca_cert_path: Option<PathBuf> = "OPRC_PM_ETCD_CA_CERT_PATH",
        /// PEM file of our certificate toward etcd.
        client_cert_path: Option<PathBuf> = "OPRC_PM_ETCD_CLIENT_CERT_PATH",
        /// PEM file of the private key of that certificate.
        client_key_path: Option<PathBuf> = "OPRC_PM_ETCD_CLIENT_KEY_PATH",
        /// Longest time that one request to etcd may take, in seconds.
        ///
        /// Why 5: etcd elects a leader within one to two seconds; a write in that time should wait.
        timeout_secs: Within<1, 60> = "OPRC_PM_ETCD_TIMEOUT_SECS" or "5",
        /// Most operations of one transaction that etcd takes: its `--max-txn-ops`; 8 of them are kept for the store's own.
        ///
        /// A push of more documents than that goes in several transactions, and takes effect at one
        /// moment all the same. Why 128: etcd's default. Why at least 32: a transaction has
        /// checks besides what it writes, and should still be worth its while.
        max_txn_ops: Within<32, 10_000> = "OPRC_PM_ETCD_MAX_TXN_OPS" or "128",
    }
}

/// How etcd is reached.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Etcd {
    /// Its members; never empty. All encrypted or none.
    pub endpoints: Vec<Endpoint>,
    /// User and password, where etcd asks for them.
    pub login: Option<Login>,
    /// What every key begins with: a `/` at the beginning, none at the end.
    pub key_prefix: String,
    /// Certificates; not empty only with `https` endpoints.
    pub tls: Tls,
    /// Longest time that one request may take.
    pub timeout: Duration,
    /// Most operations of one transaction that it takes.
    pub max_txn_ops: usize,
}

/// A user of etcd.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Credential,
}

impl Etcd {
    /// Takes the section; `None` when etcd is not used. Endpoints imply etcd where no storage type
    /// is set.
    pub(super) fn parse(parser: &mut Parser, storage_type: Option<StorageType>) -> Option<Self> {
        let variables: EtcdVariables = parser.section();
        const ENDPOINTS: &str = "OPRC_PM_ETCD_ENDPOINTS";
        // Endpoints that cannot be read were meant for something: the rest is checked as well.
        let has_endpoints = variables.endpoints.is_some() || parser.is_wrong(ENDPOINTS);
        match storage_type {
            Some(StorageType::Etcd) if !has_endpoints => {
                parser.mistake(ENDPOINTS, "is not set, but OPRC_PM_STORAGE_TYPE is etcd");
            }
            Some(StorageType::Embedded | StorageType::Memory) if has_endpoints => {
                // Running on a store that nobody meant looks like losing every document.
                if !parser.is_wrong(ENDPOINTS) {
                    let problem =
                        "is set, but OPRC_PM_STORAGE_TYPE is not etcd: change one of them";
                    parser.mistake(ENDPOINTS, problem);
                }
            }
            Some(StorageType::Embedded | StorageType::Memory) => return None,
            None if !has_endpoints => return None,
            None | Some(StorageType::Etcd) => {}
        }
        let List(members) = variables.endpoints.unwrap_or(List(Vec::new()));
        let password = credential(
            parser,
            ("OPRC_PM_ETCD_PASSWORD", variables.password),
            ("OPRC_PM_ETCD_PASSWORD_FILE", variables.password_file),
        );
        let login = login(parser, variables.username, password);
        let tls = Paths {
            ca_cert: ("OPRC_PM_ETCD_CA_CERT_PATH", variables.ca_cert_path),
            client_cert: ("OPRC_PM_ETCD_CLIENT_CERT_PATH", variables.client_cert_path),
            client_key: ("OPRC_PM_ETCD_CLIENT_KEY_PATH", variables.client_key_path),
        }
        .check(parser);
        let is_encrypted = tls.is_wanted() || members.iter().any(Member::is_https);
        let endpoints: Vec<Endpoint> =
            members.into_iter().map(|member| member.into_endpoint(is_encrypted)).collect();
        check_encryption(parser, ENDPOINTS, &endpoints, &tls);
        let timeout = variables.timeout_secs.secs();
        let max_txn_ops = variables.max_txn_ops.count();
        let key_prefix = variables.key_prefix.0;
        Some(Self { endpoints, login, key_prefix, tls, timeout, max_txn_ops })
    }
}

fn login(
    parser: &mut Parser,
    username: Option<String>,
    password: Option<Credential>,
) -> Option<Login> {
    match (username, password) {
        (Some(username), Some(password)) => Some(Login { username, password }),
        (None, None) => None,
        (Some(_), None) => {
            if !parser.is_wrong("OPRC_PM_ETCD_PASSWORD") {
                let problem = "is not set, nor OPRC_PM_ETCD_PASSWORD_FILE, but the username is";
                parser.mistake("OPRC_PM_ETCD_PASSWORD", problem);
            }
            None
        }
        (None, Some(_)) => {
            parser.mistake("OPRC_PM_ETCD_USERNAME", "is not set, but a password is");
            None
        }
    }
}

/// One secret from either of two variables: the value or the name of a file.
pub(super) fn credential(
    parser: &mut Parser,
    (value_name, value): (&str, Option<Secret>),
    (file_name, file): (&str, Option<PathBuf>),
) -> Option<Credential> {
    if let Some(path) = &file {
        check_readable(parser, file_name, path);
    }
    match (value, file) {
        (Some(_), Some(_)) => {
            parser.mistake(file_name, format!("is set, and so is {value_name}: choose one"));
            None
        }
        (Some(secret), None) => Some(Credential::Value(secret)),
        (None, Some(path)) => Some(Credential::File(path)),
        (None, None) => None,
    }
}

/// Certificates without encryption are not what somebody meant, nor is a mixture.
pub(super) fn check_encryption(
    parser: &mut Parser,
    variable: &str,
    endpoints: &[Endpoint],
    tls: &Tls,
) {
    let n_plain = endpoints.iter().filter(|endpoint| !endpoint.is_https()).count();
    if n_plain > 0 && tls.is_wanted() {
        parser.mistake(variable, "has an http:// URL, but certificates are set: want https://");
    } else if n_plain > 0 && n_plain < endpoints.len() {
        parser.mistake(variable, "mixes http:// and https://");
    }
}

/// The address of a member of etcd: a URL, or `host:port` as etcd's own tools take it.
pub(super) struct Member {
    endpoint: Endpoint,
    has_scheme: bool,
}

impl Member {
    fn is_https(&self) -> bool {
        self.has_scheme && self.endpoint.is_https()
    }

    /// The URL; without a scheme of its own, encrypted as said.
    fn into_endpoint(self, is_encrypted: bool) -> Endpoint {
        if is_encrypted && !self.has_scheme { self.endpoint.into_https() } else { self.endpoint }
    }
}

impl FromStr for Member {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains("://") {
            return Ok(Self { endpoint: text.parse()?, has_scheme: true });
        }
        // Without a port it would be the port of HTTP, where no etcd listens.
        let has_port = text.parse::<http::uri::Authority>().is_ok_and(|it| it.port_u16().is_some());
        if !has_port {
            return Err(Invalid);
        }
        Ok(Self { endpoint: format!("http://{text}").parse()?, has_scheme: false })
    }
}

impl Setting for Member {
    const IS_SECRET: bool = Endpoint::IS_SECRET;
    fn want() -> String {
        "a URL, http:// or https://, or host:port, without user or query".to_owned()
    }
}

/// What every key begins with.
pub(super) struct KeyPrefix(String);

impl FromStr for KeyPrefix {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_segment =
            |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_graphic());
        let Some(segments) = text.strip_prefix('/') else { return Err(Invalid) };
        if segments.split('/').all(is_segment) { Ok(Self(text.to_owned())) } else { Err(Invalid) }
    }
}

impl Setting for KeyPrefix {
    fn want() -> String {
        "segments that each begin with /, for example /oaas/pm".to_owned()
    }
}
