//! Makes the clients of CRMs: the address from the registration, the credentials from the
//! configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use oprc_config::{Credential, pm::Crm as CrmConfig};
use oprc_controllers::Connect;
use oprc_crm_client::{CrmOptions, HttpCrm, TokenSource};
use oprc_models::names::ClusterName;

/// How long a call may take to a cluster that this replica's environment does not name.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A maker of clients. A cluster that `crms` does not name is called without credentials.
pub(crate) fn connect(crms: &[CrmConfig], max_in_flight: usize) -> Connect {
    let crms: BTreeMap<ClusterName, CrmConfig> =
        crms.iter().map(|crm| (crm.name.clone(), crm.clone())).collect();
    Arc::new(move |registered| {
        let known = crms.get(&registered.name);
        let timeout = known.map_or(DEFAULT_TIMEOUT, |crm| crm.timeout);
        let tls = known.map(|crm| crm.tls.clone()).unwrap_or_default();
        let (client_cert_path, client_key_path) =
            tls.client.map(|client| (client.cert_path, client.key_path)).unzip();
        let token = match known.and_then(|crm| crm.token.clone()) {
            None => TokenSource::None,
            Some(Credential::Value(secret)) => {
                TokenSource::Value(secret.expose().to_owned().into())
            }
            Some(Credential::File(path)) => TokenSource::File(path),
        };
        let options = CrmOptions {
            cluster: registered.name.clone(),
            endpoints: registered.endpoints.clone(),
            token,
            ca_cert_path: tls.ca_cert_path,
            client_cert_path,
            client_key_path,
            timeout,
            connect_timeout: CONNECT_TIMEOUT.min(timeout),
            max_in_flight,
        };
        match HttpCrm::new(options) {
            Ok(crm) => Ok(Arc::new(crm) as _),
            Err(error) => Err(error.to_string()),
        }
    })
}
