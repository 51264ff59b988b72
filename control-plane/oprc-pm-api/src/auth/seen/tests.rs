use std::sync::Arc;

use super::{Digest, MAX_SEEN, Seen};
use crate::auth::{
    identity::{Identity, Means},
    token::Believed,
};

fn digest(n: usize) -> Digest {
    super::digest(&n.to_string())
}

fn believed(until: i64) -> Believed {
    let identity = Identity {
        subject: "ada".into(),
        groups: Arc::default(),
        means: Means::Token,
        until: None,
    };
    Believed { identity, until }
}

#[test]
fn a_token_is_remembered_until_it_expires_or_the_keys_change() {
    let seen = Seen::default();
    seen.put(digest(1), 1, believed(100));
    assert!(seen.get(&digest(1), 1, 99).is_some());
    assert!(seen.get(&digest(1), 1, 100).is_none(), "it has expired");
    assert!(seen.get(&digest(2), 1, 99).is_none(), "it is another");
    assert!(seen.get(&digest(1), 2, 99).is_none(), "the keys have changed");
    seen.put(digest(2), 2, believed(100));
    assert!(seen.get(&digest(1), 2, 99).is_none(), "what was of older keys is gone");
    seen.put(digest(3), 1, believed(100));
    assert!(seen.get(&digest(3), 2, 99).is_none(), "it was checked with keys that are gone");
    assert!(seen.get(&digest(2), 2, 99).is_some());
}

#[test]
fn there_is_a_limit_and_what_is_used_stays() {
    let seen = Seen::default();
    for n in 0..5 * MAX_SEEN {
        seen.put(digest(n), 1, believed(100));
        assert!(seen.get(&digest(0), 1, 0).is_some(), "after {n}");
    }
    let halves = seen.0.lock();
    assert!(halves.young.len() <= MAX_SEEN && halves.old.len() <= MAX_SEEN);
}
