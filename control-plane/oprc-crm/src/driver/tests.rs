use oprc_cp_storage::Op;

use super::*;

fn transition(id: usize, n_writes: usize, n_bytes: usize) -> Transition {
    let write = |place: usize| Write {
        key: format!("records/u{id}-{place}"),
        precondition: Precondition::Absent,
        op: Op::Put(vec![0; n_bytes].into()),
    };
    Transition {
        id: format!("u{id}").parse().unwrap(),
        condition: RunCondition::Running,
        next: None,
        known: Revision(1),
        writes: (0..n_writes).map(write).collect(),
    }
}

/// `want` is how many transitions each group has.
#[track_caller]
fn check(n_transitions: usize, n_writes: usize, n_bytes: usize, want: &[usize]) {
    let transitions = (0..n_transitions).map(|id| transition(id, n_writes, n_bytes)).collect();
    let groups = pack(transitions);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), want);
    let ids: Vec<_> = groups.iter().flatten().map(|one| one.id.to_string()).collect();
    assert_eq!(ids, (0..n_transitions).map(|id| format!("u{id}")).collect::<Vec<_>>());
}

#[test]
fn groups_fit_into_a_transaction() {
    check(0, 1, 10, &[]);
    check(MAX_TXN_OPS, 1, 10, &[MAX_TXN_OPS]);
    check(100, 3, 10, &[40, 40, 20]);
    check(3, 1, MAX_TXN_BYTES / 2, &[1, 1, 1]);
    check(3, 1, MAX_TXN_BYTES / 3, &[2, 1]);
}
