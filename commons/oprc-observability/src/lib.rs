//! What every program of the platform says about itself: logs, kept lines (audit), metrics
//! and correlation ids.
//!
//! Nothing here knows of documents, stores or clusters.
//!
//! Invariants:
//! - logging never blocks the caller and never fails it: a log that cannot be written is counted
//!   and dropped;
//! - a correlation id from outside is short and plain before it is logged or passed on.

mod correlation;
mod lines;
mod log;
mod metrics;
mod process;
mod report;

pub use correlation::CorrelationId;
pub use lines::{Lines, LinesGuard, Loss, Place, Target};
pub use log::{Format, Guard, LogError, init_logging};
pub use metrics::{Metrics, MetricsError};
pub use report::{Brief, Report};
