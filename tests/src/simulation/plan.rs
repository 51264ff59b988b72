//! The plan of a story: what users do and what goes wrong, and when.
//!
//! It is drawn from the seed before anything happens, as data, so that a story can be told again
//! without parts of it. What it does not say, the world's own dice decide: latencies, and which
//! calls a fault strikes.

use std::{collections::BTreeSet, fmt};

use oprc_models::{cluster::features, names::ClusterName};

use super::{
    dice::Dice,
    nemesis::{BLINDING, Control, Fault, KINDS},
    users, versions,
};

/// What an outage of hours lasts, in milliseconds.
const HOURS: u64 = 2 * 3_600_000;

/// So many kinds of fault there were when users did not push bundles, pause and roll back yet.
const KINDS_WITHOUT_OPERATIONS: usize = 50;

/// So many there were when no story was of one fault yet.
const KINDS_WITHOUT_VISITS: usize = 51;

/// As many forms of stories there were when each version had one content.
const FORMS_WITHOUT_REPLACED: usize = 52;

/// The kinds of fault that matter only where something is done right then: writes and calls that
/// are carried out late, and deletions that are not seen.
const VISITED: &[usize] = &[9, 47, 51];

/// One story, from its seed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    /// The clusters, and what their CRMs can do.
    pub(crate) clusters: Vec<(ClusterName, Vec<&'static str>)>,
    pub(crate) n_replicas: usize,
    /// The most milliseconds that a replica's clock may run ahead of the others'.
    pub(crate) stride: u64,
    /// What is done, in order of time.
    pub(crate) acts: Vec<Act>,
    /// When users and faults stop.
    pub(crate) end: u64,
    /// The most writes and checks of one transaction of the API; none: as many as in production.
    pub(crate) max_txn_ops: Option<usize>,
    /// Whether controllers tell of events.
    pub(crate) has_events: bool,
}

/// Something that a user or the nemesis does.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// Its number in the plan as it was drawn.
    pub(crate) number: usize,
    pub(crate) at: u64,
    pub(crate) what: Control,
}

impl Plan {
    /// The plan that `seed` decides.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        Self::draw_of(seed, KINDS.max(FORMS_WITHOUT_REPLACED + 1))
    }

    /// The plan that `seed` decided when there were only the first `n_kinds` kinds of fault: kinds
    /// are only ever added at the end, so that a seed that was once a bug stays its story.
    #[must_use]
    pub fn draw_of(seed: u64, n_kinds: usize) -> Self {
        let mut dice = Dice::new(seed);
        let clusters = draw_clusters(&mut dice);
        let names: Vec<ClusterName> = clusters.iter().map(|(name, _)| name.clone()).collect();
        let n_replicas = dice.pick(&[1, 1, 2, 2, 2, 3, 3, 4, 5]);
        let stride = dice.pick(&[2, 10, 50, 200]);
        // Some stories are short and wild, and some have an outage of hours.
        let length = dice.pick(&[30_000, 60_000, 60_000, 120_000, 300_000]);
        let mut acts = Vec::new();
        for _ in 0..dice.within(8..=60) {
            let at = dice.within(500..=length);
            acts.push((at, Control::Ask(users::draw(&mut dice, &names))));
        }
        // Where everything goes wrong little is done: some stories are of one fault, struck on purpose.
        let has_visits = n_kinds > KINDS_WITHOUT_VISITS && dice.chance(0.3);
        let shares: &[f64] = if has_visits { &[0.0, 0.05] } else { &[0.0, 0.1, 0.2, 0.4, 0.8] };
        let share = dice.pick(shares);
        let kinds: Vec<usize> = (0..n_kinds.min(KINDS))
            .filter(|kind| dice.chance(if *kind == BLINDING { share / 4.0 } else { share }))
            .collect();
        for kind in kinds {
            for _ in 0..dice.within(1..=3) {
                let fault = Fault::draw(kind, &mut dice, &names, n_replicas);
                let millis = dice.pick(&[300, 2_000, 5_000, 12_000, 40_000]);
                acts.push((dice.within(0..=length), Control::Fault(fault, millis)));
            }
        }
        if has_visits {
            let kind = dice.pick(VISITED);
            for _ in 0..dice.within(1..=3) {
                let fault = Fault::draw(kind, &mut dice, &names, n_replicas);
                let at = dice.within(0..=length);
                let visit = draw_visit(&mut dice, &fault, at, &names);
                acts.extend(visit.into_iter().map(|(at, act)| (at.min(length), act)));
                acts.push((at, Control::Fault(fault, 40_000)));
            }
        }
        let is_long = dice.chance(0.04);
        if is_long {
            let kind = dice.pick(&[18, 19, 20]);
            let fault = Fault::draw(kind, &mut dice, &names, n_replicas);
            acts.push((0, Control::Fault(fault, HOURS)));
        }
        let (mut max_txn_ops, mut has_events) = (None, false);
        if n_kinds > KINDS_WITHOUT_OPERATIONS {
            for _ in 0..dice.within(0..=20) {
                let at = dice.within(500..=length);
                acts.push((at, Control::Ask(users::draw_operation(&mut dice, &names))));
            }
            max_txn_ops = dice.pick(&[None, None, Some(3), Some(4), Some(6)]);
            has_events = dice.chance(0.3);
        }
        acts.sort_by_key(|(at, _)| *at);
        let wishes = acts.iter_mut().filter_map(|(_, what)| match what {
            Control::Ask(wish) => Some(wish),
            _ => None,
        });
        versions::number(wishes, n_kinds > FORMS_WITHOUT_REPLACED);
        let acts = acts.into_iter().enumerate();
        let acts = acts.map(|(number, (at, what))| Act { number, at, what }).collect();
        let end = if is_long { HOURS } else { length };
        Self { seed, clusters, n_replicas, stride, acts, end, max_txn_ops, has_events }
    }

    /// The numbers of what is done in it.
    #[must_use]
    pub fn numbers(&self) -> Vec<usize> {
        self.acts.iter().map(|act| act.number).collect()
    }

    /// The same story with nothing done but what has one of `numbers`.
    #[must_use]
    pub fn only(mut self, numbers: &BTreeSet<usize>) -> Self {
        self.acts.retain(|act| numbers.contains(&act.number));
        self
    }
}

fn draw_clusters(dice: &mut Dice) -> Vec<(ClusterName, Vec<&'static str>)> {
    let all = [features::WATCH, features::GENERATIONS, features::TERMS];
    let n_clusters = dice.index(3) + 1;
    let clusters = (0..n_clusters).map(|number| {
        let has = match dice.index(10) {
            0 => Vec::new(),
            1..=3 => all[1..].to_vec(),
            _ => all.to_vec(),
        };
        (users::name(&format!("c{number}")), has)
    });
    clusters.collect()
}

/// What is done around `fault`, which strikes at `at`: a deployment comes, changes and goes; and what
/// cannot be seen going is looked for by a new leader.
fn draw_visit(
    dice: &mut Dice,
    fault: &Fault,
    at: u64,
    clusters: &[ClusterName],
) -> Vec<(u64, Control)> {
    let visit = match fault {
        Fault::CrmDeletesUnseen(cluster) | Fault::CrmCallsLate(cluster) => {
            users::draw_visit(dice, std::slice::from_ref(cluster), 1)
        }
        _ => users::draw_visit(dice, clusters, 4),
    };
    let mut acts = Vec::new();
    let mut next = at.saturating_sub(2_000).max(500);
    for wish in visit {
        acts.push((next + dice.within(0..=2_000), Control::Ask(wish)));
        next += 3_000;
    }
    if matches!(fault, Fault::CrmDeletesUnseen(_)) {
        acts.push((at + dice.within(0..=8_000), Control::Fault(Fault::LeaseRevoked, 0)));
    }
    acts
}

/// The story, for people: a line for each thing that is done.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, features) in &self.clusters {
            writeln!(f, "cluster {name} has {features:?}")?;
        }
        writeln!(f, "replicas: {}; stride {} ms", self.n_replicas, self.stride)?;
        if let Some(max) = self.max_txn_ops {
            writeln!(f, "transactions of the API have {max} writes and checks at most")?;
        }
        if self.has_events {
            writeln!(f, "controllers tell of events")?;
        }
        for Act { number, at, what } in &self.acts {
            writeln!(f, "{:>6}.{:03} s  #{number:<3} {what}", at / 1000, at % 1000)?;
        }
        write!(f, "{:>6}.{:03} s       all faults end", self.end / 1000, self.end % 1000)
    }
}
