//! The health that a CRM reports: read leniently, since without it nothing is believed of its cluster.

use oprc_models::{
    cluster::{ClusterHealth, HealthStatus},
    nulls::NullIsAbsent,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    CallError,
    answer::{Answer, Cause},
    clip::bound_health,
};

/// The health in `answer`. A status that is none of the contract's words is `DEGRADED`.
pub(crate) fn health(answer: &Answer) -> Result<ClusterHealth, CallError> {
    let mut document: Value = answer.document()?;
    let status = document.get_mut("status").filter(|status| status.is_string());
    if let Some(status) = status.filter(|status| HealthStatus::deserialize(&**status).is_err()) {
        *status = Value::from("DEGRADED");
    }
    let mut health: ClusterHealth =
        NullIsAbsent(document).read().map_err(|err| Cause::garbage(&err.to_string()))?;
    bound_health(&mut health);
    Ok(health)
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<ClusterHealth, CallError> {
        let body = body.to_string().into();
        health(&Answer { status: StatusCode::OK, headers: HeaderMap::new(), body })
    }

    #[test]
    fn unknown_status_is_degraded_and_nulls_are_absent() {
        for (word, want) in [
            ("HEALTHY", HealthStatus::Healthy),
            ("UNHEALTHY", HealthStatus::Unhealthy),
            ("MAINTENANCE", HealthStatus::Degraded),
            ("", HealthStatus::Degraded),
        ] {
            let health = read(&json!({"cluster_name": "east", "status": word, "features": null}));
            assert_eq!(health.unwrap().status, want, "{word:?}");
        }
        for wrong in [
            json!({"cluster_name": "east"}),
            json!({"cluster_name": "east", "status": 7}),
            json!({"status": "HEALTHY"}),
            json!([]),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
