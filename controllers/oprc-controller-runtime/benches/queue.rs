//! How many keys a second one thread takes through the work queue: add, pop, done.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use oprc_controller_runtime::{
    backoff::Backoff,
    queue::{Outcome, Priority, WorkQueue},
};
use tokio::time::Instant;

fn key(n: usize) -> String {
    format!("tenant-{:03}.service-{n:06}", n % 100)
}

fn throughput(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    for n_waiting in [0, 1_000, 100_000] {
        group.bench_function(format!("add, pop, done; {n_waiting} others wait"), |bencher| {
            let now = Instant::now();
            let mut queue = WorkQueue::new(Backoff::default(), 1);
            for n in 0..n_waiting {
                let delay = Duration::from_secs(300 + n as u64 % 60);
                queue.add_after(key(n), Priority::Resync, delay, now);
            }
            let keys: Vec<String> = (0..1000).map(|n| key(200_000 + n)).collect();
            let mut keys = keys.iter().cycle();
            bencher.iter(|| {
                let key = keys.next().expect("a cycle does not end");
                queue.add(key.clone(), Priority::Change, now);
                let job = queue.pop(now).expect("it is due");
                queue.done(&job.key, Outcome::Settled, now);
                black_box(job)
            });
        });
    }
    group.bench_function("a thousand keys in, a thousand out", |bencher| {
        let now = Instant::now();
        let mut queue = WorkQueue::new(Backoff::default(), 1);
        let keys: Vec<String> = (0..1000).map(key).collect();
        let mut n = 0;
        bencher.iter(|| {
            if n % keys.len() == 0 {
                for key in &keys {
                    queue.add(key.clone(), Priority::Change, now);
                }
            }
            n += 1;
            let job = queue.pop(now).expect("it is due");
            queue.done(&job.key, Outcome::Settled, now);
            black_box(job)
        });
    });
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
