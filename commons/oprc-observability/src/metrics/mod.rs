//! Metrics in Prometheus' text form.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{log, process};

/// Bounds of the buckets of durations, in seconds: from a work queue's microseconds to a call's
/// timeout. About three for each power of ten, so that a quantile is read to within its half.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0,
];

/// Bounds of the buckets of sizes, in bytes: to the largest body.
const BYTES: &[f64] =
    &[64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// Bounds of the buckets of counts: members of a batch, items of a page.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the recorder of metrics cannot be installed")]
pub struct MetricsError(#[from] BuildError);

/// What the process has counted so far.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Records the metrics of this process from now on, its own resources included.
    ///
    /// # Errors
    ///
    /// When the process has a recorder already.
    pub fn install() -> Result<Self, MetricsError> {
        let metrics = Self(builder()?.install_recorder()?);
        process::describe_metrics();
        log::describe_metrics();
        crate::lines::describe_metrics();
        Ok(metrics)
    }

    /// All metrics as of now, in Prometheus' text form (`text/plain; version=0.0.4`).
    #[must_use]
    pub fn render(&self) -> String {
        process::update_metrics() + &self.0.render()
    }

    /// Folds samples of histograms into their buckets. To be called every few seconds: without it,
    /// samples pile up while nobody asks for metrics.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let suffix = |text: &str| Matcher::Suffix(text.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), SECONDS)?
        .set_buckets_for_metric(suffix("_bytes"), BYTES)?
        // Histograms in neither unit count things. Without buckets they would become summaries,
        // whose quantiles cannot be added up over replicas.
        .set_buckets(COUNTS)
}

#[cfg(test)]
mod tests;
