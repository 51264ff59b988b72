//! Keys through the work queue, by one thread.

use std::hint::black_box;

use oprc_controller_runtime::{
    backoff::Backoff,
    queue::{Outcome, Priority, WorkQueue},
};
use tokio::time::Instant;

use crate::table;

const KEYS: usize = 2_000_000;

/// Add, pop, done; nothing else waits. `benches/queue.rs` of the controller runtime has more.
pub(crate) fn run() {
    let now = Instant::now();
    let mut queue = WorkQueue::new(Backoff::default(), 1);
    let keys: Vec<String> =
        (0..1000).map(|n| format!("tenant-{:03}.service-{n:06}", n % 100)).collect();
    let mut rates = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        for key in keys.iter().cycle().take(KEYS) {
            queue.add(key.clone(), Priority::Change, now);
            let job = queue.pop(now).unwrap();
            queue.done(&job.key, Outcome::Settled, now);
            black_box(job);
        }
        rates.push(KEYS as f64 / began.elapsed().as_secs_f64());
    }
    let rate = table::median(&mut rates) / 1e6;
    let verdict = if rate >= 1.0 { "holds" } else { "falls short" };
    let wanted = format!("≥ 1 M/s: {verdict}");
    table::row("work queue, add→get→done", &format!("{rate:.2} M/s"), &wanted);
}
