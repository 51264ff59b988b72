//! Is there an order of operations, each between its call and its answer, that explains every answer?
//!
//! The search of Wing and Gong with the memory of Lowe (as in Porcupine): a set of operations that
//! were put in order, and the state after them, is looked at once. An operation without an answer
//! may have taken effect at any moment after its call, or never.

use std::{collections::HashSet, fmt::Debug, hash::Hash};

/// Configurations that are looked at before a history counts as too tangled to be judged.
const MAX_CONFIGURATIONS: usize = 2_000_000;

/// One operation, with the times of its call and of its answer; the latter is `None` when nobody
/// knows what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Interval<O, T> {
    pub(crate) operation: O,
    pub(crate) invoked: T,
    pub(crate) returned: Option<T>,
}

/// Operations that were put in order, as a set of bits, and the state after them.
type Configuration<S> = (Vec<u64>, S);

/// Looks for an order. `step` answers the state after an operation, or `None` if its answer does
/// not fit the state.
///
/// # Errors
///
/// Where the search got furthest: the state there, and the operations of which none fits.
pub(crate) fn check<S, O, T>(
    initial: S,
    mut history: Vec<Interval<O, T>>,
    step: impl Fn(&S, &O) -> Option<S>,
) -> Result<(), String>
where
    S: Clone + Debug + Eq + Hash,
    O: Debug,
    T: Copy + Debug + Ord,
{
    // Those with the earliest answers are tried first, those without one last.
    history.sort_by_key(|it| (it.returned.is_none(), it.returned, it.invoked));
    let start = (vec![0; history.len().div_ceil(64)], initial);
    let mut seen = HashSet::from([start.clone()]);
    let mut stack = vec![start];
    let mut furthest: Option<(u32, Configuration<S>)> = None;
    while let Some((done, state)) = stack.pop() {
        let is_done = |index: usize| done[index / 64] & (1 << (index % 64)) != 0;
        let mut left = (0..history.len()).filter(|index| !is_done(*index));
        // Whatever was called after this answer comes after that operation. As they are sorted, it
        // is the first that is left.
        let Some(deadline) = left.next().and_then(|first| history[first].returned) else {
            return Ok(());
        };
        for index in candidates(&history, &done, deadline).rev() {
            let Some(next) = step(&state, &history[index].operation) else { continue };
            if history[index].returned.is_none() && next == state {
                // As if it had never been.
                continue;
            }
            let mut done = done.clone();
            done[index / 64] |= 1 << (index % 64);
            let next = (done, next);
            if !seen.contains(&next) {
                seen.insert(next.clone());
                stack.push(next);
            }
        }
        assert!(seen.len() < MAX_CONFIGURATIONS, "a history too tangled to be judged");
        let n_done = done.iter().map(|word| word.count_ones()).sum();
        if furthest.as_ref().is_none_or(|(most, _)| *most < n_done) {
            furthest = Some((n_done, (done, state)));
        }
    }
    let Some((n_done, (done, state))) = furthest else { return Ok(()) };
    let first = (0..history.len()).find(|index| done[index / 64] & (1 << (index % 64)) == 0);
    let deadline = first.and_then(|first| history[first].returned);
    let stuck = deadline.into_iter().flat_map(|it| candidates(&history, &done, it));
    let stuck: Vec<_> = stuck.map(|index| format!("  {:?}", history[index])).collect();
    Err(format!(
        "after {n_done} of {} operations the state is {state:?}, and none of these fits:\n{}",
        history.len(),
        stuck.join("\n")
    ))
}

/// The operations that may be next: not in order yet, and called before `deadline`.
fn candidates<'h, O, T: Copy + Ord>(
    history: &'h [Interval<O, T>],
    done: &'h [u64],
    deadline: T,
) -> impl DoubleEndedIterator<Item = usize> + 'h {
    (0..history.len()).filter(move |index| {
        done[index / 64] & (1 << (index % 64)) == 0 && history[*index].invoked <= deadline
    })
}

/// Operations on a register that holds 0 at first.
#[derive(Clone, Copy, Debug)]
enum Register {
    Write(u8),
    Read(u8),
    /// From the first to the second, with success.
    Swap(u8, u8),
}

fn register(state: &u8, operation: &Register) -> Option<u8> {
    match *operation {
        Register::Write(value) => Some(value),
        Register::Read(value) => (value == *state).then_some(value),
        Register::Swap(from, to) => (from == *state).then_some(to),
    }
}

/// Each operation with its call and its answer, in order of time; `0`: no answer.
#[track_caller]
fn check_register(history: &[(Register, u32, u32)], want: bool) {
    let interval = |&(operation, invoked, returned): &(Register, u32, u32)| Interval {
        operation,
        invoked,
        returned: (returned > 0).then_some(returned),
    };
    let got = check(0, history.iter().map(interval).collect(), register);
    assert_eq!(got.is_ok(), want, "{got:?}");
}

#[test]
fn tells_what_can_be_explained() {
    use Register::{Read, Swap, Write};
    check_register(&[], true);
    check_register(&[(Write(1), 1, 2), (Read(1), 3, 4)], true);
    check_register(&[(Write(1), 1, 2), (Read(0), 3, 4)], false);
    // While a write is under way, both may be read, but not the old after the new.
    check_register(&[(Write(1), 1, 9), (Read(0), 2, 3), (Read(1), 4, 5)], true);
    check_register(&[(Write(1), 1, 9), (Read(1), 2, 3), (Read(0), 4, 5)], false);
    // Without an answer: it may land late, or never, but not twice.
    check_register(&[(Write(1), 1, 0), (Read(0), 2, 3), (Read(1), 4, 5)], true);
    check_register(&[(Write(1), 1, 0), (Read(0), 2, 3)], true);
    let twice = [(Write(1), 1, 0), (Read(1), 2, 3), (Write(2), 4, 5), (Read(1), 6, 7)];
    check_register(&twice, false);
    check_register(&[(Read(1), 1, 2), (Write(1), 3, 0)], false);
    // Of two that swap the same, one loses.
    check_register(&[(Swap(0, 1), 1, 9), (Swap(0, 2), 2, 8)], false);
    check_register(&[(Swap(0, 1), 1, 9), (Swap(1, 2), 2, 8)], true);
    // A lost update.
    let lost = [(Write(1), 1, 2), (Swap(1, 2), 3, 4), (Read(1), 5, 6)];
    check_register(&lost, false);
}

/// Every history of a register that a lock guards can be explained, and none is once the last read
/// is made wrong: with many operations at once, and some without an answer.
#[test]
fn long_histories_are_judged() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut state, mut history) = (0, Vec::new());
        for now in 1..150u32 {
            let operation = match rng.u8(0..3) {
                0 => Register::Write(rng.u8(..)),
                1 => Register::Read(state),
                _ => Register::Swap(state, rng.u8(..)),
            };
            state = register(&state, &operation).unwrap();
            let at = now * 10;
            // Around the moment at which it took effect.
            let (before, after) = (rng.u32(0..60), rng.u32(1..60));
            let is_unknown = rng.u8(0..30) == 0 && !matches!(operation, Register::Read(_));
            let returned = if is_unknown { 0 } else { at + after };
            history.push((operation, at.saturating_sub(before), returned));
        }
        history.push((Register::Read(state), 5000, 5001));
        check_register(&history, true);
        let unexplained = (0..=u8::MAX).find(|value| {
            let is_written = |operation: &Register| match operation {
                Register::Write(to) | Register::Swap(_, to) => to == value,
                Register::Read(_) => false,
            };
            *value != 0 && !history.iter().any(|(operation, ..)| is_written(operation))
        });
        history.pop();
        history.push((Register::Read(unexplained.unwrap()), 5000, 5001));
        check_register(&history, false);
    }
}
