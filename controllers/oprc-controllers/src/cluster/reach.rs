//! How many clusters are out of reach, and whether most of them vanished together: then it is
//! probably we who are cut off, and not they.
//!
//! It moves nothing: no unit ever goes anywhere because a cluster is silent. It tells people where to
//! look: at the network of this process, before they look at so many clusters.
//!
//! No clock of its own: `now` is an argument.

use std::{collections::BTreeMap, time::Duration};

use metrics::{describe_gauge, gauge};
use oprc_models::names::ClusterName;
use tokio::time::Instant;

const UNREACHABLE: &str = "oprc_pm_unreachable_clusters";
const VANISHED: &str = "oprc_pm_vanished_clusters_state";

/// Clusters that fall silent within this time of each other did so together. A breaker takes up to
/// some ten seconds more or less to open, as the health checks of a cluster happen to fall.
const TOGETHER: Duration = Duration::from_secs(60);

/// Fewer are no crowd: of two clusters, one in trouble is half.
const FEW: usize = 3;

/// Clusters that are out of reach, each since when.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    lost: BTreeMap<ClusterName, Instant>,
    is_alarmed: bool,
}

/// What became of the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// It is as it was.
    Same,
    /// It began or ended: the statuses of all clusters are to say so.
    Turned,
}

impl Reach {
    /// Whether most clusters vanished together, and most are away still.
    pub(crate) const fn is_alarmed(&self) -> bool {
        self.is_alarmed
    }

    /// Notes that `cluster`, one of `n_clusters`, is out of reach.
    pub(crate) fn lose(&mut self, cluster: &ClusterName, n_clusters: usize, now: Instant) -> Alarm {
        if self.lost.contains_key(cluster) {
            return Alarm::Same;
        }
        self.lost.insert(cluster.clone(), now);
        self.judge(n_clusters, now)
    }

    /// Notes that `cluster` is heard, or is no more; of those that are, there are `n_clusters`.
    pub(crate) fn find(&mut self, cluster: &ClusterName, n_clusters: usize, now: Instant) -> Alarm {
        if self.lost.remove(cluster).is_none() {
            return Alarm::Same;
        }
        self.judge(n_clusters, now)
    }

    fn judge(&mut self, n_clusters: usize, now: Instant) -> Alarm {
        let is_most = |n: usize| n >= FEW && n * 10 >= n_clusters * 6;
        let just_now = |since: &&Instant| now.duration_since(**since) <= TOGETHER;
        let n_lost = self.lost.len();
        let was_alarmed = self.is_alarmed;
        // Those that were silent before count for its going on, not for its beginning.
        self.is_alarmed = is_most(n_lost)
            && (was_alarmed || is_most(self.lost.values().filter(just_now).count()));
        self.measure();
        match (was_alarmed, self.is_alarmed) {
            (false, true) => tracing::warn!(
                n_lost,
                n_clusters,
                "most clusters fell silent together: are we cut off? nothing is moved"
            ),
            (true, false) => tracing::info!(n_lost, n_clusters, "most clusters are heard again"),
            (true, true) | (false, false) => return Alarm::Same,
        }
        Alarm::Turned
    }

    #[expect(clippy::cast_precision_loss, reason = "there are fewer clusters than 2^52")]
    fn measure(&self) {
        gauge!(UNREACHABLE).set(self.lost.len() as f64);
        gauge!(VANISHED).set(f64::from(u8::from(self.is_alarmed)));
    }
}

/// Who does not lead any more does not know.
impl Drop for Reach {
    fn drop(&mut self) {
        gauge!(UNREACHABLE).set(0.0);
        gauge!(VANISHED).set(0.0);
    }
}

/// Describes this module's metrics to the recorder.
pub(crate) fn describe_metrics() {
    describe_gauge!(UNREACHABLE, "Clusters that do not answer, as the leader sees them; else 0");
    describe_gauge!(
        VANISHED,
        "1 while 60 % of the clusters or more are silent that fell silent within a minute of each \
         other: it is probably this process that is cut off"
    );
}

#[cfg(test)]
mod tests;
