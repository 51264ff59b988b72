//! Random histories of one unit: a naive CRM, an agent that does as `units` does, and the network
//! between them. What the mirror says is held against what the CRM has.

use std::collections::VecDeque;

use oprc_models::{
    crm::{RecordEvent, RecordEventType},
    record::RunCondition,
    unit::{DeploymentUnit, Desired, StoredUnit},
};
use oprc_planning::unit::{Action, Observation, plan};
use serde_json::json;
use tokio::time::Instant;

use super::{Mirror, Verdict, applied, event, id, record};

/// A call of ours.
#[derive(Clone, Copy, Debug)]
enum Call {
    Apply(u64),
    Delete(u64),
}

/// A CRM that keeps the contract.
#[derive(Debug, Default)]
struct NaiveCrm {
    /// The generation held, and whether it is being deleted.
    held: Option<(u64, bool)>,
    taken: u64,
    events: VecDeque<RecordEvent>,
}

impl NaiveCrm {
    fn publish(&mut self, r#type: RecordEventType, generation: u64) {
        self.events.push_back(event(r#type, generation));
    }

    fn carry_out(&mut self, call: Call) -> Option<Verdict> {
        let (Call::Apply(generation) | Call::Delete(generation)) = call;
        if generation < self.taken {
            return None;
        }
        self.taken = generation;
        match (call, self.held) {
            (Call::Apply(_), held) => {
                self.held = Some((generation, false));
                let is_new = held.is_none();
                let r#type =
                    if is_new { RecordEventType::Added } else { RecordEventType::Modified };
                self.publish(r#type, generation);
                Some(applied(generation))
            }
            (Call::Delete(_), None) => Some(Verdict::Gone(generation)),
            (Call::Delete(_), Some((held, _))) => {
                self.held = Some((held, true));
                self.publish(RecordEventType::Modified, held);
                Some(Verdict::DeletionBegun(generation))
            }
        }
    }

    /// A deletion under way is done.
    fn finish_deletion(&mut self) {
        if let Some((held, true)) = self.held {
            self.held = None;
            self.publish(RecordEventType::Deleted, held);
        }
    }
}

#[derive(Default)]
struct Model {
    mirror: Mirror,
    crm: NaiveCrm,
    /// The unit in the store: whether it is wanted, and its generation.
    unit: Option<(Desired, u64)>,
    generation: u64,
    /// A call in the agent's hands, and its answer once the CRM has carried it out.
    in_hand: Option<(Call, Option<Option<Verdict>>)>,
    /// Calls that were given up and may yet be carried out.
    late: Vec<Call>,
    /// The tick of a listing under way, and what it saw once it looked.
    listing: Option<(u64, Option<Option<u64>>)>,
    is_watching: bool,
    log: Vec<String>,
}

impl Model {
    fn observed(&self) -> Option<Option<u64>> {
        match self.mirror.observe(&id()) {
            Observation::Unknown => None,
            Observation::Absent => Some(None),
            Observation::Present(record) => Some(Some(record.generation)),
        }
    }

    /// What the agent does next, by `units::decide_unit` without its clocks.
    fn act(&mut self) {
        let Some((desired, generation)) = self.unit.filter(|_| self.in_hand.is_none()) else {
            return;
        };
        let unit = StoredUnit {
            desired,
            deployment_uid: "u1".to_owned(),
            paused: false,
            correlation_id: None,
            unit: unit(generation),
        };
        let call = match plan(&unit, self.mirror.observe(&id())) {
            Action::Nothing | Action::Observe => return,
            Action::Apply(_) if self.mirror.applied_at(&id(), generation).is_some() => return,
            Action::Apply(_) => Call::Apply(generation),
            Action::Delete(generation, _) => Call::Delete(generation),
            Action::Forget if !self.mirror.has_fenced(&id(), generation) => {
                Call::Delete(generation)
            }
            Action::Forget => {
                self.forget();
                return;
            }
        };
        self.in_hand = Some((call, None));
    }

    /// The unit leaves the store: nothing of it may be left, now or later.
    fn forget(&mut self) {
        assert_eq!(self.crm.held, None, "forgotten while it is held: {:#?}", self.log);
        for late in &self.late {
            let (Call::Apply(generation) | Call::Delete(generation)) = late;
            let is_fenced = matches!(late, Call::Delete(_)) || *generation < self.crm.taken;
            assert!(is_fenced, "{late:?} may yet be carried out: {:#?}", self.log);
        }
        self.mirror.forget(&id());
        self.unit = None;
    }

    fn step(&mut self, rng: &mut fastrand::Rng) {
        let now = Instant::now();
        match rng.u8(0..16) {
            0 => self.wish(rng),
            1..4 => self.act(),
            // The CRM gets a call, or an old one that was given up.
            4 | 5 => match &mut self.in_hand {
                Some((call, answer @ None)) => *answer = Some(self.crm.carry_out(*call)),
                _ if !self.late.is_empty() => {
                    let late = self.late.remove(rng.usize(0..self.late.len()));
                    self.crm.carry_out(late);
                }
                _ => (),
            },
            // Its answer arrives.
            6 | 7 => {
                if let Some((_, Some(answer))) = &self.in_hand {
                    // A refusal as stale changes nothing.
                    let verdict = answer.clone().unwrap_or(Verdict::NotSent);
                    self.mirror.note(&id(), verdict, now);
                    self.in_hand = None;
                }
            }
            // Or never does.
            8 => {
                if let Some((call, answer)) = self.in_hand.take() {
                    self.mirror.note(&id(), Verdict::Unanswered, now);
                    if answer.is_none() {
                        self.late.push(call);
                    }
                }
            }
            9 | 10 => self.crm.finish_deletion(),
            11 => self.is_watching = false,
            12 | 13 => self.list(),
            14 => {
                if rng.u8(0..4) == 0 {
                    self.mirror.distrust();
                }
                // It broke off.
                self.listing = None;
            }
            _ => self.deliver(),
        }
    }

    fn wish(&mut self, rng: &mut fastrand::Rng) {
        self.generation += 1;
        let desired = match self.unit {
            Some(_) if rng.bool() => Desired::Absent,
            _ => Desired::Present,
        };
        self.unit = Some((desired, self.generation));
    }

    /// One step of a listing: begin, look, take.
    fn list(&mut self) {
        self.is_watching = false;
        match self.listing.take() {
            None => self.listing = Some((self.mirror.begin_listing(), None)),
            Some((began, None)) => {
                let held = self.crm.held.map(|(generation, _)| generation);
                // The watch will continue from here.
                self.crm.events.clear();
                self.listing = Some((began, Some(held)));
            }
            Some((began, Some(held))) => {
                self.mirror.replace(began, held.map(record).into_iter().collect());
                self.is_watching = true;
            }
        }
    }

    fn deliver(&mut self) {
        if self.is_watching
            && let Some(event) = self.crm.events.pop_front()
        {
            self.mirror.take(event);
        }
    }

    /// What must hold whenever the agent may look, which it does with no call in its hands.
    fn check(&self) {
        if self.in_hand.is_some() {
            return;
        }
        if self.observed() == Some(None) {
            // A call that was given up may have been carried out after the listing: nobody can
            // know. Therefore an absent unit is fenced before it is forgotten.
            let may_be_late =
                self.unit.is_none_or(|(_, generation)| !self.mirror.has_fenced(&id(), generation));
            assert!(self.crm.held.is_none() || may_be_late, "held: {:#?}", self.log);
        }
        if let Some(Some(generation)) = self.observed() {
            assert!(generation <= self.generation, "made up: {:#?}", self.log);
        }
    }

    /// Faults stop: all is carried out, listed and told.
    fn settle(&mut self) {
        for _ in 0..40 {
            if let Some((call, answer)) = self.in_hand.take() {
                let answer = answer.unwrap_or_else(|| self.crm.carry_out(call));
                self.mirror.note(&id(), answer.unwrap_or(Verdict::NotSent), Instant::now());
            }
            self.crm.finish_deletion();
            for late in std::mem::take(&mut self.late) {
                self.crm.carry_out(late);
            }
            self.listing = None;
            for _ in 0..3 {
                self.list();
            }
            assert_eq!(self.observed(), Some(self.crm.held.map(|(held, _)| held)));
            self.act();
        }
        assert!(self.in_hand.is_none(), "it does not come to rest: {:#?}", self.log);
        match self.unit {
            Some((Desired::Present, generation)) => {
                assert_eq!(self.crm.held, Some((generation, false)), "{:#?}", self.log);
            }
            Some((Desired::Absent, _)) => panic!("never forgotten: {:#?}", self.log),
            None => assert_eq!(self.crm.held, None, "{:#?}", self.log),
        }
    }
}

fn unit(generation: u64) -> DeploymentUnit {
    serde_json::from_value(json!({
        "id": id(), "deployment_key": "shop.cart", "package_name": "shop", "class_key": "cart",
        "target_env": "east", "generation": generation, "spec_hash": "hash", "owner": "oprc-pm",
        "created_at": "1970-01-01T00:00:00Z",
    }))
    .unwrap()
}

#[test]
fn random_histories() {
    for seed in 0..600 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut model = Model::default();
        for _ in 0..rng.usize(20..150) {
            model.step(&mut rng);
            let seen = format!(
                "seed {seed}: unit {:?}, in hand {:?}, late {:?}, crm {:?} taken {}, observed {:?}",
                model.unit,
                model.in_hand,
                model.late,
                model.crm.held,
                model.crm.taken,
                model.observed(),
            );
            model.log.push(seen);
            model.check();
        }
        model.settle();
    }
}

/// The model is worth something only if its histories get anywhere.
#[test]
fn histories_reach_what_matters() {
    let (mut n_forgotten, mut n_running, mut n_late) = (0, 0, 0);
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut model = Model::default();
        for _ in 0..150 {
            let had_unit = model.unit.is_some();
            model.step(&mut rng);
            n_forgotten += u32::from(had_unit && model.unit.is_none());
            n_late += u32::from(!model.late.is_empty());
            n_running += u32::from(model.observed().is_some_and(|held| held.is_some()));
        }
    }
    assert!(
        n_forgotten > 20 && n_running > 1000 && n_late > 1000,
        "{n_forgotten} {n_running} {n_late}"
    );
    assert_eq!(record(1).status.condition, RunCondition::Running);
}
