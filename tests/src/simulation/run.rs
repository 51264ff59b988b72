//! One run: the driver that lets the replicas and the world take turns, and the phases of a story.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    panic,
    sync::{Arc, Once},
};

use oprc_cp_storage::{Op, Precondition, Txn, Write, keys::Key};
use oprc_models::{
    cluster::ClusterSpec,
    meta::{Meta, Stored},
};
use oprc_pm_api::writes::Ask;
use parking_lot::Mutex;

use super::{
    crm::CrmServer,
    crm_client::POISON,
    nemesis::Control,
    plan::Plan,
    replica::Replica,
    users::{self, Wish},
    world::{Event, SharedWorld, World, note, wall},
};

/// How long it may take to converge after everything was put right, in milliseconds: twice the
/// interval of full listings, and what a cascade takes.
const PATIENCE: u64 = 25 * 60_000;

/// How long what was under way may go on after it has converged.
const SETTLE: u64 = 6 * 60_000;
/// As [`SETTLE`], where a watch has lost a change: as long as a cache takes to look again.
const SECOND_LOOK: u64 = 17 * 60_000;

/// The most milliseconds that a replica's clock ever runs ahead of the others'.
const MAX_LEAD: u64 = 1_000;

/// Messages that all replicas together may send in a second of simulated time.
const MAX_MESSAGES_A_SECOND: u64 = 20_000;

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long nothing may move in the end, in milliseconds of simulated time.
    pub quiet_millis: u64,
    /// Whether every line of the trace is printed as it comes.
    pub is_printed: bool,
}

impl Default for Options {
    /// An hour of quiet.
    fn default() -> Self {
        Self { quiet_millis: 3_600_000, is_printed: false }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What decided everything.
    pub seed: u64,
    /// The properties that did not hold; empty: all did.
    pub violations: Vec<String>,
    /// The last lines of the trace.
    pub tail: Vec<String>,
    /// Hash of the whole trace.
    pub hash: u64,
    /// Lines of the trace.
    pub n_lines: u64,
    /// Simulated milliseconds.
    pub millis: u64,
    /// Messages between replicas and the world.
    pub n_messages: u64,
    /// Writes that users were told of.
    pub n_acknowledged: u64,
    /// How often each fault really struck.
    pub strikes: BTreeMap<&'static str, u64>,
}

thread_local! {
    /// Panics of production code in the run on this thread; none: there is no run.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Takes down panics in runs, which production code catches, instead of printing them.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_taken = PANICS.with_borrow_mut(|panics| {
                let Some(panics) = panics else { return false };
                let what = info.to_string();
                if !what.contains(POISON) {
                    panics.push(what);
                }
                true
            });
            if !is_taken {
                before(info);
            }
        }));
    });
}

/// Runs the story of `seed`.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    tell(&Plan::draw(seed), options)
}

/// Runs the story of `plan`.
#[must_use]
pub fn tell(plan: &Plan, options: Options) -> Report {
    direct(plan, options, |driver| driver.tell())
}

/// Has `story` told by a driver, in the setting of `plan`.
pub(super) fn direct(plan: &Plan, options: Options, story: impl FnOnce(&mut Driver<'_>)) -> Report {
    let seed = plan.seed;
    watch_panics();
    PANICS.set(Some(Vec::new()));
    // The back-off of a watch that is broken draws from the thread's own generator.
    fastrand::seed(seed);
    let mut driver = Driver::new(plan, options);
    story(&mut driver);
    driver.note_panics();
    driver.replicas.clear();
    PANICS.set(None);
    let mut world = driver.world.lock();
    let strikes = std::mem::take(&mut world.strikes);
    Report {
        seed,
        violations: world.checker.violations.clone(),
        tail: world.trace.tail(),
        hash: world.trace.hash(),
        n_lines: world.trace.n_lines(),
        millis: world.now,
        n_messages: world.n_messages,
        n_acknowledged: world.checker.n_acknowledged,
        strikes,
    }
}

pub(super) struct Driver<'a> {
    plan: &'a Plan,
    pub(super) world: SharedWorld,
    options: Options,
    pub(super) replicas: Vec<Option<Replica>>,
    n_lives: u64,
    /// The most milliseconds that a replica's clock may run ahead of the others' at this moment: the
    /// plan's, and more while nothing goes on, which saves most of a run's time.
    lead: u64,
}

impl<'a> Driver<'a> {
    fn new(plan: &'a Plan, options: Options) -> Self {
        // Not the plan's own dice, and yet decided by its seed.
        let seed = !plan.seed;
        let mut world = World::new(seed, options.is_printed);
        (world.max_txn_ops, world.has_events) = (plan.max_txn_ops, plan.has_events);
        world.default_cluster = plan
            .clusters
            .first()
            .filter(|_| plan.seed.is_multiple_of(2))
            .map(|(name, _)| name.clone());
        let world = Arc::new(Mutex::new(world));
        Self { plan, world, options, replicas: Vec::new(), n_lives: 0, lead: plan.stride }
    }

    /// The whole story.
    fn tell(&mut self) {
        self.begin();
        self.schedule();
        self.advance(self.plan.end);
        self.mend();
        let is_blind = self.world.lock().checker.is_blind;
        if !self.converge(if is_blind { SECOND_LOOK } else { SETTLE }) || !self.resume_all() {
            return;
        }
        self.keep_still();
    }

    /// Has what is paused go on, and waits until it is as it should be.
    fn resume_all(&mut self) -> bool {
        let paused = self.world.lock().paused_deployments();
        let mut wishes = paused.iter().map(|key| Wish::Ask(key.clone(), Ask::Resume));
        paused.is_empty() || wishes.all(|wish| self.insist(&wish)) && self.converge(SETTLE)
    }

    pub(super) fn is_over(&self) -> bool {
        !self.world.lock().checker.violations.is_empty()
    }

    /// The clusters, their registrations and the replicas.
    pub(super) fn begin(&mut self) {
        let n_replicas = self.plan.n_replicas;
        {
            let mut guard = self.world.lock();
            let world = &mut *guard;
            let mut writes = Vec::new();
            for (name, has) in &self.plan.clusters {
                note!(world, "cluster {name} has {has:?}");
                let key = Key::Cluster(name.clone());
                let endpoints = vec![format!("http://{name}")];
                let spec = ClusterSpec { name: name.clone(), endpoints };
                let meta = Meta::new(world.new_uid(), 1, wall(0));
                let value = serde_json::to_vec(&Stored { meta, spec }).unwrap_or_default();
                let op = Op::Put(value.into());
                let precondition = Precondition::Absent;
                writes.push(Write { key: key.to_string(), precondition, op });
                world.crms.insert(name.clone(), CrmServer::new(name.clone(), has));
            }
            let txn = Txn { checks: Vec::new(), writes };
            let _ = world.commit(None, |mvcc, pending, now| pending.txn(mvcc, txn, now));
            world.lives = vec![None; n_replicas];
            world.skews.resize_with(n_replicas, Arc::default);
            note!(world, "{n_replicas} replicas, stride {} ms", self.plan.stride);
        }
        self.replicas.resize_with(n_replicas, || None);
        for id in 0..n_replicas {
            self.start(id);
        }
    }

    /// Schedules what users do and what goes wrong.
    fn schedule(&self) {
        let mut world = self.world.lock();
        for act in &self.plan.acts {
            world.schedule(act.at, Event::Control(act.what.clone()));
        }
    }

    /// Puts everything right.
    fn mend(&mut self) {
        self.world.lock().calm();
        for id in 0..self.replicas.len() {
            let now = self.world.lock().now;
            match &mut self.replicas[id] {
                Some(replica) if replica.is_paused => replica.wake(now),
                Some(_) => (),
                None => self.start(id),
            }
        }
    }

    /// Waits until everything is as it should be, and stays so for `settle` milliseconds.
    pub(super) fn converge(&mut self, settle: u64) -> bool {
        let began = self.world.lock().now;
        let mut right_since = None;
        loop {
            let now = self.world.lock().now;
            if self.is_over() {
                return false;
            }
            let differences = self.world.lock().differences();
            if differences.is_empty() {
                let since = *right_since.get_or_insert(now);
                if now - since >= settle {
                    note!(self.world.lock(), "converged");
                    return true;
                }
            } else {
                right_since = None;
                if now - began > PATIENCE {
                    let mut world = self.world.lock();
                    note!(world, "not converged: {differences:#?}");
                    let what = format!("converges: {}", differences.join("; "));
                    world.checker.violations.push(what);
                    return false;
                }
            }
            self.advance(now + 5_000);
        }
    }

    /// Nothing moves any more.
    pub(super) fn keep_still(&mut self) {
        let before = self.movements();
        let now = self.world.lock().now;
        self.advance(now + self.options.quiet_millis);
        let after = self.movements();
        let mut world = self.world.lock();
        if before != after && world.checker.violations.is_empty() {
            let what = format!("nothing moves: (writes, calls, term) {before:?} to {after:?}");
            world.checker.violations.push(what);
        }
        let differences = world.differences();
        if !differences.is_empty() {
            world.checker.violations.push(format!("stays converged: {}", differences.join("; ")));
        }
        drop(world);
        self.check_caches();
        for replica in self.replicas.iter().flatten() {
            let stalled = replica.watchdog.stalled();
            if !stalled.is_empty() {
                let what = format!("a queue has stopped: {stalled:?}");
                self.world.lock().checker.violations.push(what);
            }
        }
    }

    /// Writes, calls for units, and the term.
    fn movements(&self) -> (u64, u64, Option<u64>) {
        let world = self.world.lock();
        let n_calls = world.crms.values().map(|crm| crm.n_calls).sum();
        let leader = world.store.mvcc.get(super::replica::LEADER_KEY);
        let term = leader.map(|item| item.key_value.create_revision.0);
        (world.checker.n_writes, n_calls, term)
    }

    /// Lets the world and the replicas go on until `until`.
    pub(super) fn advance(&mut self, until: u64) {
        let (mut second, mut n_before) = (0, 0);
        loop {
            let next = self.world.lock().next_event().unwrap_or(u64::MAX);
            let limit = next.min(until);
            let (stride, lead) = (self.plan.stride, self.lead);
            if let Some(replica) = self.most_behind(limit) {
                let stop = limit.min(replica.clock + lead);
                replica.run(stop);
                let is_idle = replica.clock >= stop;
                self.lead = if is_idle { MAX_LEAD.min(lead * 2) } else { stride };
                continue;
            }
            self.lead = stride;
            self.note_panics();
            if self.is_over() {
                return;
            }
            if next > until {
                self.world.lock().now = until;
                return;
            }
            let event = self.world.lock().pop_event();
            match event {
                Some(Event::Net(delivery)) => delivery(&mut self.world.lock()),
                Some(Event::Control(control)) => self.obey(control),
                None => return,
            }
            let mut world = self.world.lock();
            let is_moving = std::mem::take(&mut world.checker.documents.is_moving);
            if is_moving || world.now / 1000 != second {
                for replica in self.replicas.iter().flatten() {
                    world.check_reads(replica);
                }
            }
            if world.now / 1000 != second {
                (second, n_before) = (world.now / 1000, world.n_messages);
                if second % 10 == 0 {
                    world.check_unknown();
                    drop(world);
                    self.check_caches();
                }
            } else if world.n_messages - n_before > MAX_MESSAGES_A_SECOND {
                world.checker.violations.push("calls are made without end".to_owned());
            }
        }
    }

    /// No cache finds that it has missed a change, unless its watch has lost one.
    fn check_caches(&self) {
        let mut world = self.world.lock();
        for replica in self.replicas.iter().flatten() {
            if replica.cache.n_missed() > 0 && !world.checker.is_blind {
                let what = format!("the cache of r{} has missed a change", replica.link.replica);
                world.checker.violations.push(what);
            }
        }
    }

    /// The replica that is most behind `limit`, if one is.
    fn most_behind(&mut self, limit: u64) -> Option<&mut Replica> {
        let running = self.replicas.iter_mut().flatten();
        let behind = running.filter(|replica| !replica.is_paused && replica.clock < limit);
        behind.min_by_key(|replica| replica.clock)
    }

    fn note_panics(&self) {
        let panics = PANICS.with_borrow_mut(|panics| panics.as_mut().map(std::mem::take));
        for panic in panics.unwrap_or_default() {
            let mut world = self.world.lock();
            note!(world, "PANIC {panic}");
            world.checker.violations.push(format!("nothing panics: {panic}"));
        }
    }

    fn obey(&mut self, control: Control) {
        match control {
            Control::Crash(id) => self.crash(id),
            Control::Start(id) => {
                if self.replicas[id].is_none() {
                    self.start(id);
                }
            }
            Control::Pause(id, millis) => {
                let Some(replica) = &mut self.replicas[id] else { return };
                if replica.is_paused {
                    return;
                }
                replica.is_paused = true;
                let mut world = self.world.lock();
                note!(world, "r{id} is paused");
                world.strike("replica paused");
                let (at, life) = (world.now + millis, replica.link.life);
                world.schedule(at, Event::Control(Control::Wake(id, life)));
            }
            Control::Wake(id, life) => {
                let now = self.world.lock().now;
                let Some(replica) = &mut self.replicas[id] else { return };
                if replica.is_paused && replica.link.life == life {
                    note!(self.world.lock(), "r{id} goes on");
                    replica.wake(now);
                }
            }
            Control::Terminate(id) => {
                let Some(replica) = &self.replicas[id] else { return };
                let mut world = self.world.lock();
                note!(world, "r{id} is asked to end");
                world.strike("replica asked to end");
                let at = world.now + 10_000;
                world.schedule(at, Event::Control(Control::Crash(id)));
                drop(world);
                replica.terminate();
            }
            Control::Ask(wish) => {
                let up: Vec<_> =
                    self.replicas.iter().flatten().filter(|it| !it.is_paused).collect();
                if !up.is_empty() {
                    let choice = self.world.lock().dice.index(up.len());
                    users::ask(&self.world, up[choice], wish);
                }
            }
            Control::Fault(fault, millis) => self.world.lock().strike_fault(fault, millis),
            Control::Mend(fault) => {
                let mut world = self.world.lock();
                note!(world, "mended {fault:?}");
                world.change_weather(&fault, true);
            }
        }
    }

    fn start(&mut self, id: usize) {
        self.n_lives += 1;
        let life = self.n_lives;
        {
            let mut world = self.world.lock();
            note!(world, "r{id} starts");
            world.lives[id] = Some(life);
        }
        self.replicas[id] = Some(Replica::start(id, life, &self.world));
    }

    fn crash(&mut self, id: usize) {
        let Some(replica) = self.replicas[id].take() else { return };
        {
            let mut world = self.world.lock();
            note!(world, "r{id} crashes");
            world.strike("replica crashed");
            world.lives[id] = None;
            let delay = world.dice.pick(&[1, 200, 3_000, 15_000]);
            let at = world.now + delay;
            world.schedule(at, Event::Control(Control::Start(id)));
        }
        drop(replica);
    }
}
