//! What a scrape shows.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

#[test]
fn calls_and_breakers_are_shown() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let cluster: ClusterName = "east".parse().unwrap();
    metrics::with_local_recorder(&recorder, || {
        describe_metrics();
        Measured::begin(&cluster, "health").end(&Ok(()));
        Measured::begin(&cluster, "apply").end::<()>(&Err(CallError::Gone));
        drop(Measured::begin(&cluster, "list"));
        record_skipped(&cluster, 3);
        record_breaker(&cluster, BreakerState::Closed);
        record_breaker(&cluster, BreakerState::Open);
    });
    let scrape = recorder.handle().render();
    for line in [
        r#"oprc_pm_crm_calls_total{cluster="east",call="health",outcome="ok"} 1"#,
        r#"oprc_pm_crm_calls_total{cluster="east",call="apply",outcome="gone"} 1"#,
        r#"oprc_pm_crm_calls_total{cluster="east",call="list",outcome="cancelled"} 1"#,
        r#"oprc_pm_crm_call_duration_seconds_count{cluster="east",call="health"} 1"#,
        r#"oprc_pm_crm_in_flight_calls{cluster="east"} 0"#,
        r#"oprc_pm_crm_records_skipped_total{cluster="east"} 3"#,
        r#"oprc_pm_crm_breaker_open_ratio{cluster="east"} 1"#,
        r#"oprc_pm_crm_breaker_transitions_total{cluster="east",to="open"} 1"#,
    ] {
        assert!(scrape.lines().any(|shown| shown == line), "{line} is not in\n{scrape}");
    }
    for name in [CALLS, DURATION, IN_FLIGHT, SKIPPED, BREAKER_OPEN, BREAKER_TRANSITIONS] {
        assert!(scrape.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
}
