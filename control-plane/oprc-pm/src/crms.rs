//! Makes the clients of CRMs: the address from the registration, the credentials from the
//! configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use oprc_config::{Credential, pm::Crm as CrmConfig};
use oprc_controllers::Connect;
use oprc_crm_client::{CrmOptions, HttpCrm, TokenSource};
use oprc_models::names::ClusterName;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns a maker of clients. A cluster that `crms` does not name has none: its credentials are not
/// known, so it is not called.
pub(crate) fn connect(crms: &[CrmConfig], max_in_flight: usize) -> Connect {
    let crms: BTreeMap<ClusterName, CrmConfig> =
        crms.iter().map(|crm| (crm.name.clone(), crm.clone())).collect();
    Arc::new(move |registered| {
        let Some(known) = crms.get(&registered.name) else {
            return Err("no OPRC_PM_CRM_<ID>_URL names this cluster; nothing is sent to it. \
                        Set its variables again, or delete the cluster"
                .to_owned());
        };
        let timeout = known.timeout;
        let tls = known.tls.clone();
        let (client_cert_path, client_key_path) =
            tls.client.map(|client| (client.cert_path, client.key_path)).unzip();
        let token = match known.token.clone() {
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
