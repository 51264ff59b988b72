//! Refused writes of callers that have not shown who they are, counted for each address.
//!
//! Anybody can make such requests, as many as the rate of an address allows. A line for each would
//! push everything else out of the audit files. So the first few of an address in a minute have a
//! line of their own, and one line gives the number of the others.

use std::{collections::BTreeMap, net::IpAddr};

use oprc_models::meta::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;

/// Refusals of one address in a window that have a line of their own.
const OWN_LINES: u64 = 10;

/// How long the refusals of one address are counted together, in seconds.
const WINDOW_SECS: i64 = 60;

/// The most addresses that are counted apart. The others share one count.
const MAX_ADDRESSES: usize = 1024;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// `None`: requests without an address, and addresses beyond [`MAX_ADDRESSES`].
    by: BTreeMap<Option<IpAddr>, Count>,
    /// No window ends before this second.
    next_end: i64,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Timestamp,
    n: u64,
}

/// The line for refusals that have no line of their own.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    kind: &'static str,
    time: Timestamp,
    since: Timestamp,
    address: Option<IpAddr>,
    decision: &'static str,
    /// Refused requests that no other line tells of.
    requests: u64,
}

impl Refused {
    /// Counts a refusal of `address`; `true` if it is to have a line of its own.
    pub(super) fn count(&self, address: Option<IpAddr>, now: Timestamp) -> bool {
        let mut counts = self.0.lock();
        let is_known = counts.by.contains_key(&address);
        let address = address.filter(|_| is_known || counts.by.len() < MAX_ADDRESSES);
        let count = counts.by.entry(address).or_insert(Count { since: now, n: 0 });
        count.n += 1;
        count.n <= OWN_LINES
    }

    /// The counts whose window has ended at `now`.
    pub(super) fn ended(&self, now: Timestamp) -> Vec<Summary> {
        let mut counts = self.0.lock();
        if now.as_second() < counts.next_end {
            return Vec::new();
        }
        let mut ended = Vec::new();
        counts.by.retain(|address, count| {
            let is_over = count.since.as_second() + WINDOW_SECS <= now.as_second();
            ended.extend(is_over.then_some((*address, *count)));
            !is_over
        });
        let oldest = counts.by.values().map(|count| count.since.as_second()).min();
        counts.next_end = oldest.unwrap_or(now.as_second()) + WINDOW_SECS;
        summaries(ended, now)
    }

    /// All counts, at the end.
    pub(super) fn all(&self, now: Timestamp) -> Vec<Summary> {
        summaries(std::mem::take(&mut self.0.lock().by), now)
    }
}

fn summaries(
    counts: impl IntoIterator<Item = (Option<IpAddr>, Count)>,
    now: Timestamp,
) -> Vec<Summary> {
    let summary = |(address, Count { since, n }): (Option<IpAddr>, Count)| Summary {
        kind: "audit",
        time: now,
        since,
        address,
        decision: "refused",
        requests: n.saturating_sub(OWN_LINES),
    };
    counts.into_iter().map(summary).filter(|summary| summary.requests > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::from(n.to_be_bytes()))
    }

    #[test]
    fn a_flood_of_one_address_is_a_few_lines_a_minute() {
        let refused = Refused::default();
        let mut n_lines = 0;
        let mut n_summed = 0;
        for second in 0..180 {
            for summary in refused.ended(at(second)) {
                assert_eq!((summary.address, summary.kind), (address(7), "audit"));
                n_summed += summary.requests;
            }
            n_lines += (0..100).filter(|_| refused.count(address(7), at(second))).count();
        }
        n_summed += refused.all(at(180)).iter().map(|summary| summary.requests).sum::<u64>();
        assert_eq!(n_lines, 30, "ten a minute");
        assert_eq!(n_summed, 18_000 - 30, "none is lost");
    }

    #[test]
    fn addresses_are_bounded() {
        let refused = Refused::default();
        for n in 0..100_000 {
            refused.count(address(n), at(0));
        }
        assert!(refused.0.lock().by.len() <= MAX_ADDRESSES + 1);
        assert!(refused.count(address(3), at(0)), "it has its own count");
        assert!(!refused.count(address(99_999), at(0)), "it is one of many");
        let rest = refused.ended(at(60));
        assert_eq!(rest.iter().map(|it| it.address).collect::<Vec<_>>(), [None]);
        assert!(refused.0.lock().by.is_empty());
    }
}
