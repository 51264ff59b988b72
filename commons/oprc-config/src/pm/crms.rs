//! The CRMs: a family of variables, `OPRC_PM_CRM_<ID>_*`, one member for each cluster.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use envconfig::Envconfig;
use oprc_models::names::ClusterName;

use crate::{
    Credential, Endpoint, Secret,
    parse::{Parser, Settings as _, settings},
    suggest,
    tls::{Paths, Tls},
    value::{List, Within},
};

use super::{etcd, sections::CrmCalls};

/// What the variables of the family begin with.
const FAMILY: &str = "OPRC_PM_CRM_<ID>";

settings! {
    /// One CRM.
    pub(super) struct CrmVariables {
        /// URLs of the CRM of one cluster, separated by commas and tried in turn. `<ID>` in upper
        /// case with `_`: `PROD_EAST` is the cluster `prod-east`.
        url: Option<List<Endpoint>> = "OPRC_PM_CRM_<ID>_URL",
        /// Name of the cluster, where it is not the id in lower case with `-`.
        name: Option<ClusterName> = "OPRC_PM_CRM_<ID>_NAME",
        /// Bearer token sent to this CRM.
        token: Option<Secret> = "OPRC_PM_CRM_<ID>_TOKEN",
        /// File with the token, in place of the token itself; read again when the CRM refuses it.
        token_file: Option<PathBuf> = "OPRC_PM_CRM_<ID>_TOKEN_FILE",
        /// PEM file of the authorities that the CRM's certificate is checked against.
        ca_cert_path: Option<PathBuf> = "OPRC_PM_CRM_<ID>_CA_CERT_PATH",
        /// PEM file of our certificate toward the CRM.
        client_cert_path: Option<PathBuf> = "OPRC_PM_CRM_<ID>_CLIENT_CERT_PATH",
        /// PEM file of the private key of that certificate.
        client_key_path: Option<PathBuf> = "OPRC_PM_CRM_<ID>_CLIENT_KEY_PATH",
        /// Longest time that one call to this CRM may take, in seconds.
        ///
        /// Why 10: a CRM answers as soon as it has noted a unit; it does not wait for it to run.
        timeout_secs: Within<1, 300> = "OPRC_PM_CRM_<ID>_TIMEOUT_SECS" or "10",
    }
}

/// How the CRM of one cluster is reached.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Crm {
    /// The cluster.
    pub name: ClusterName,
    /// Where it listens, in the order to be tried; never empty. All encrypted or none.
    pub endpoints: Vec<Endpoint>,
    /// The bearer token, where it asks for one.
    pub token: Option<Credential>,
    /// Certificates; not empty only with `https` endpoints.
    pub tls: Tls,
    /// Longest time that one call may take.
    pub timeout: Duration,
}

/// The configured CRMs.
pub(super) struct Crms {
    /// Those whose variables are right, ordered by cluster.
    pub(super) usable: Vec<Crm>,
    /// Every configured cluster, in order; also those with a mistake in another variable.
    names: Vec<ClusterName>,
}

/// Takes every member of the family; ordered by cluster.
pub(super) fn parse(parser: &mut Parser) -> Crms {
    let mut ids: Vec<_> = parser.left().filter_map(id_of).map(str::to_owned).collect();
    ids.dedup();
    let mut crms = BTreeMap::new();
    let mut id_of_cluster: BTreeMap<ClusterName, String> = BTreeMap::new();
    for id in ids {
        let (name, crm) = parse_one(parser, &id);
        let Some(name) = name else { continue };
        if let Some(other) = id_of_cluster.insert(name.clone(), id.clone()) {
            parser.mistake(
                &format!("OPRC_PM_CRM_{id}_NAME"),
                format!(
                    "{name} is the same cluster as OPRC_PM_CRM_{other}_URL: give one of them a name"
                ),
            );
        }
        crms.extend(crm.map(|crm| (name, crm)));
    }
    Crms { usable: crms.into_values().collect(), names: id_of_cluster.into_keys().collect() }
}

/// The id in the name of a variable of the family.
///
/// The longest suffix wins: `OPRC_PM_CRM_A_CLIENT_KEY_PATH` is of `A`. A variable of [`CrmCalls`]
/// has another form, and no suffix here ends such a name.
fn id_of(variable: &str) -> Option<&str> {
    let (prefix, _) = FAMILY.split_once("<ID>")?;
    let rest = variable.strip_prefix(prefix)?;
    let suffixes = CrmVariables::VARIABLES.iter().filter_map(|v| v.name.strip_prefix(FAMILY));
    let id = suffixes.filter_map(|suffix| rest.strip_suffix(suffix)).min_by_key(|id| id.len())?;
    (!id.is_empty()).then_some(id)
}

/// The cluster of the CRM `id`, and the CRM, each if its variables are right.
fn parse_one(parser: &mut Parser, id: &str) -> (Option<ClusterName>, Option<Crm>) {
    let variables: CrmVariables = parser.section_of(Some(id));
    let variable = |suffix: &str| format!("OPRC_PM_CRM_{id}_{suffix}");
    let (url, name_variable) = (variable("URL"), variable("NAME"));
    let name = variables.name.or_else(|| cluster_of(id));
    if name.is_none() && !parser.is_wrong(&name_variable) {
        let problem = format!("is not set, and the id {id} does not make the name of a cluster");
        parser.mistake(&name_variable, format!("{problem}: use [A-Z0-9_] in the id, or set it"));
    }
    if variables.url.is_none() && !parser.is_wrong(&url) {
        parser.mistake(&url, "is not set, but other variables of this CRM are");
    }
    let token = etcd::credential(
        parser,
        (&variable("TOKEN"), variables.token),
        (&variable("TOKEN_FILE"), variables.token_file),
    );
    let tls = Paths {
        ca_cert: (&variable("CA_CERT_PATH"), variables.ca_cert_path),
        client_cert: (&variable("CLIENT_CERT_PATH"), variables.client_cert_path),
        client_key: (&variable("CLIENT_KEY_PATH"), variables.client_key_path),
    }
    .check(parser);
    let timeout = variables.timeout_secs.secs();
    let crm = variables.url.and_then(|List(endpoints)| {
        etcd::check_encryption(parser, &url, &endpoints, &tls);
        Some(Crm { name: name.clone()?, endpoints, token, tls, timeout })
    });
    (name, crm)
}

/// `PROD_EAST` → `prod-east`. An id in lower case is refused: two ids must not make one name.
fn cluster_of(id: &str) -> Option<ClusterName> {
    let is_id = id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if is_id { id.to_ascii_lowercase().replace('_', "-").parse().ok() } else { None }
}

/// The default cluster, when it is one of the configured.
pub(super) fn default_cluster(
    parser: &mut Parser,
    calls: &CrmCalls,
    crms: &Crms,
) -> Option<ClusterName> {
    let default = calls.default_cluster.clone()?;
    if !crms.names.contains(&default) {
        let names: Vec<_> = crms.names.iter().map(|name| name.as_str().to_owned()).collect();
        let hint = match suggest::nearest_word(default.as_str(), &names) {
            _ if names.is_empty() => "none is: set OPRC_PM_CRM_<ID>_URL".to_owned(),
            Some(near) => format!("configured: {}; did you mean {near}?", names.join(", ")),
            None => format!(
                "configured: {}; OPRC_PM_CRM_<ID>_NAME gives a cluster another name than its id",
                names.join(", ")
            ),
        };
        let problem = format!("{:?} is not a configured cluster; {hint}", default.as_str());
        parser.mistake("OPRC_PM_CRM_DEFAULT_CLUSTER", problem);
    }
    Some(default)
}
