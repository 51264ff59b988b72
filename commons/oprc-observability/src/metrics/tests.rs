//! The text that Prometheus reads.

use super::{builder, process};

#[test]
fn histograms_have_the_buckets_of_their_unit() {
    let recorder = builder().unwrap().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        metrics::histogram!("oprc_pm_call_seconds").record(0.02);
        metrics::histogram!("oprc_pm_body_bytes").record(300.0);
        metrics::histogram!("oprc_pm_batch_units").record(3.0);
    });
    let text = handle.render();
    for line in [
        "oprc_pm_call_seconds_bucket{le=\"0.025\"} 1",
        "oprc_pm_body_bytes_bucket{le=\"1024\"} 1",
        "oprc_pm_batch_units_bucket{le=\"4\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn the_process_tells_of_itself() {
    let recorder = builder().unwrap().build_recorder();
    let handle = recorder.handle();
    let text = metrics::with_local_recorder(&recorder, || {
        process::describe_metrics();
        process::update_metrics()
    });
    let text = text + &handle.render();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    assert!(value("process_resident_memory_bytes").is_some_and(|n| n > 1e6), "{text}");
    assert!(value("process_open_fds").is_some_and(|n| n >= 3.0), "{text}");
    assert!(value("process_threads").is_some_and(|n| n >= 1.0), "{text}");
    assert!(value("process_cpu_seconds_total").is_some_and(|n| n >= 0.0), "{text}");
    assert!(value("process_start_time_seconds").is_some_and(|n| n > 1.6e9), "{text}");
}
