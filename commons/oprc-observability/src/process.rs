//! What the process uses, read from `/proc`; the metrics' names are those of Prometheus' own
//! client libraries, so that existing dashboards show them.
//!
//! Where there is no `/proc`, the metrics are absent.

use std::fs;

use metrics::{describe_gauge, gauge};

/// Clock ticks in a second as `/proc` counts them: `USER_HZ`, 100 on every Linux since 2.6.
const TICKS_PER_SECOND: f64 = 100.0;

/// Describes the metrics of the process.
pub(crate) fn describe_metrics() {
    describe_gauge!("process_resident_memory_bytes", "Memory in use.");
    describe_gauge!("process_open_fds", "Open file descriptors.");
    describe_gauge!("process_max_fds", "File descriptors that may be open.");
    describe_gauge!("process_threads", "Threads.");
    describe_gauge!("process_start_time_seconds", "When the process started, in Unix time.");
}

/// The processor time as a metric. It is a counter with a fraction, and the recorder's counters are
/// whole numbers, so this is written by hand.
fn cpu_seconds(cpu_ticks: f64) -> String {
    let seconds = cpu_ticks / TICKS_PER_SECOND;
    format!(
        "# HELP process_cpu_seconds_total Processor time used, user and system.\n\
         # TYPE process_cpu_seconds_total counter\n\
         process_cpu_seconds_total {seconds}\n\n"
    )
}

/// Reads the metrics of the process. Returns those that the recorder does not keep, as text.
pub(crate) fn update_metrics() -> String {
    let mut text = String::new();
    if let Some(Stat { cpu_ticks, start_ticks }) = stat() {
        text = cpu_seconds(cpu_ticks);
        if let Some(boot_seconds) = field("/proc/stat", "btime ") {
            gauge!("process_start_time_seconds").set(boot_seconds + start_ticks / TICKS_PER_SECOND);
        }
    }
    if let Some(kib) = field("/proc/self/status", "VmRSS:") {
        gauge!("process_resident_memory_bytes").set(kib * 1024.0);
    }
    if let Some(n_threads) = field("/proc/self/status", "Threads:") {
        gauge!("process_threads").set(n_threads);
    }
    if let Some(max) = field("/proc/self/limits", "Max open files") {
        gauge!("process_max_fds").set(max);
    }
    if let Ok(fds) = fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(u32::try_from(fds.count()).map_or(f64::NAN, f64::from));
    }
    text
}

struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
}

/// Fields of `/proc/self/stat`, counted from behind the program's name, which may hold anything.
fn stat() -> Option<Stat> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    // proc(5) numbers them from 1, and the one after the name is 3.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat { cpu_ticks: ticks(14)? + ticks(15)?, start_ticks: ticks(22)? })
}

/// The first number behind `label` in a file of lines.
fn field(path: &str, label: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_whitespace().next()?.parse().ok()
}
