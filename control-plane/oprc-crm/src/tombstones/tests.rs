use super::*;

#[test]
fn the_oldest_go_once_there_is_a_batch_too_many() {
    let mut tombstones = Tombstones::default();
    let key = |number: u64| format!("tombstones/u{number}");
    for number in 1..=10 + MAX_TXN_OPS as u64 {
        assert!(tombstones.prune(10).is_none(), "{number}");
        tombstones.put(&key(number), Revision(number));
    }
    // Deleted again: no longer the oldest.
    tombstones.put(&key(1), Revision(1_000));
    let txn = tombstones.prune(10).unwrap();
    assert_eq!(txn.writes.len(), MAX_TXN_OPS);
    assert_eq!(txn.writes[0].key, key(2));
    for write in &txn.writes {
        tombstones.remove(&write.key);
    }
    assert!(tombstones.prune(10).is_none());
    assert_eq!(tombstones.by_age.len(), 10);
}
