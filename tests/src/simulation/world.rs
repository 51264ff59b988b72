//! What is outside of the replicas: the store, the CRMs, and the network between, on one clock.
//!
//! Replicas reach it by messages alone. A message is an event at a time to come; so a call that a
//! replica made lands whether or not the replica is still there, and an answer may find nobody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use oprc_models::{meta::Timestamp, names::ClusterName};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    checker::Checker, crm::CrmServer, cuts::Effects, dice::Dice, nemesis::Control,
    store::StoreServer, trace::Trace, versions::Asked,
};

/// The world, shared between the driver and the replicas' ends of the network.
pub(crate) type SharedWorld = Arc<Mutex<World>>;

/// A message that arrives.
pub(crate) type Delivery = Box<dyn FnOnce(&mut World) + Send>;

/// Something that happens at a time.
pub(crate) enum Event {
    /// A message arrives, or a server goes on by itself.
    Net(Delivery),
    /// The driver does something to the replicas.
    Control(Control),
}

/// Which links are down, and how badly the network does.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// The store answers nobody.
    pub(crate) store_down: bool,
    /// Replicas that the store does not hear.
    pub(crate) store_cut: BTreeSet<usize>,
    /// Further milliseconds that each message to and from the store takes, at the most.
    pub(crate) store_slow: u64,
    /// Share of writes whose answer is lost.
    pub(crate) store_lost_answers: f64,
    /// Share of writes that land after their caller has given up.
    pub(crate) store_late_writes: f64,
    /// Share of calls that are turned away.
    pub(crate) store_refuses: f64,
    /// Milliseconds that each delivery to a watch is late, at the most.
    pub(crate) watch_lag: u64,
    /// Share of deliveries to a watch that lack a change.
    pub(crate) watch_losses: f64,
    /// Watches deliver nothing until then.
    pub(crate) watch_silent_until: u64,
    /// The replica whose watches show nothing until then: its view is frozen.
    pub(crate) frozen: Option<(usize, u64)>,
    /// Keep-alives of leases that are gone are answered all the same.
    pub(crate) fake_keep_alives: bool,
    /// Links between a replica and a cluster that are cut.
    pub(crate) crm_cut: BTreeSet<(usize, ClusterName)>,
}

impl Weather {
    /// Whether the store cannot be worked with as usual.
    pub(crate) fn is_rough(&self, now: u64) -> bool {
        self.store_down
            || !self.store_cut.is_empty()
            || self.store_slow > 0
            || self.store_lost_answers > 0.0
            || self.store_late_writes > 0.0
            || self.store_refuses > 0.0
            || self.watch_lag > 0
            || self.watch_silent_until > now
            || self.frozen.is_some_and(|(_, until)| until > now)
            || self.fake_keep_alives
    }
}

/// See the module.
pub(crate) struct World {
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    pub(crate) store: StoreServer,
    pub(crate) crms: BTreeMap<ClusterName, CrmServer>,
    pub(crate) checker: Checker,
    /// Contents of versions that users asked for.
    pub(crate) asked: Asked,
    /// How often each fault really struck.
    pub(crate) strikes: BTreeMap<&'static str, u64>,
    /// The life that each replica is in; none: it is down.
    pub(crate) lives: Vec<Option<u64>>,
    pub(crate) n_messages: u64,
    /// What took effect.
    pub(crate) effects: Effects,
    /// Whether the last request that a user heard of was granted.
    pub(crate) heard: Option<bool>,
    /// Replicas that crash at their next effect: by this share of effects.
    pub(crate) crash_on_effect: f64,
    /// How many milliseconds the wall clock of each replica is wrong by.
    pub(crate) skews: Vec<Arc<AtomicU64>>,
    /// Stored values that were damaged, and what they were.
    pub(crate) spoilt: BTreeMap<String, Vec<u8>>,
    /// Whether the store is being written to behind everybody's back.
    pub(crate) is_overwriting: bool,
    /// The most writes and checks of one transaction of the API.
    pub(crate) max_txn_ops: Option<usize>,
    /// Whether controllers tell of events.
    pub(crate) has_events: bool,
    /// The cluster that placement prefers.
    pub(crate) default_cluster: Option<ClusterName>,
    n_events: u64,
    n_uids: u64,
    events: BTreeMap<(u64, u64), Event>,
}

/// Takes down a line in the trace of a world.
macro_rules! note {
    ($world:expr, $($what:tt)*) => {{
        let now = $world.now;
        $world.trace.line(now, format_args!($($what)*));
    }};
}
pub(crate) use note;

impl World {
    pub(crate) fn new(seed: u64, is_printed: bool) -> Self {
        Self {
            now: 0,
            dice: Dice::new(seed),
            trace: Trace::new(is_printed),
            weather: Weather::default(),
            store: StoreServer::new(),
            crms: BTreeMap::new(),
            checker: Checker::default(),
            asked: Asked::default(),
            strikes: BTreeMap::new(),
            lives: Vec::new(),
            n_messages: 0,
            effects: Effects::default(),
            heard: None,
            crash_on_effect: 0.0,
            skews: Vec::new(),
            spoilt: BTreeMap::new(),
            is_overwriting: false,
            max_txn_ops: None,
            has_events: false,
            default_cluster: None,
            n_events: 0,
            n_uids: 0,
            events: BTreeMap::new(),
        }
    }

    /// Has `event` happen at `at`, after all that is to happen then already.
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.n_events += 1;
        self.events.insert((at.max(self.now), self.n_events), event);
    }

    /// Has `delivery` arrive in `delay` milliseconds.
    pub(crate) fn deliver(
        &mut self,
        delay: u64,
        delivery: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        self.schedule(self.now + delay, Event::Net(Box::new(delivery)));
    }

    pub(crate) fn next_event(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop_event(&mut self) -> Option<Event> {
        let ((at, _), event) = self.events.pop_first()?;
        self.now = at;
        Some(event)
    }

    /// Counts that a fault really struck.
    pub(crate) fn strike(&mut self, fault: &'static str) {
        *self.strikes.entry(fault).or_default() += 1;
    }

    /// Whether this life of the replica goes on.
    pub(crate) fn is_alive(&self, replica: usize, life: u64) -> bool {
        self.lives.get(replica) == Some(&Some(life))
    }

    /// Something was done in the name of `replica`: it may die of it before it hears.
    pub(crate) fn had_effect(&mut self, replica: usize) {
        self.count_effect(replica);
        let share = self.crash_on_effect;
        if self.dice.chance(share) {
            self.strike("crash right after an effect");
            self.schedule(self.now, Event::Control(Control::Crash(replica)));
        }
    }

    pub(crate) fn new_uid(&mut self) -> String {
        self.n_uids += 1;
        format!("uid-{:05}", self.n_uids)
    }

    /// The wall clock.
    pub(crate) fn wall(&self) -> Timestamp {
        wall(self.now)
    }
}

/// What a clock on the wall shows `millis` after the beginning.
pub(crate) fn wall(millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap_or(Timestamp::MAX)
}

/// A replica's end of the network, for one life of it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) replica: usize,
    pub(crate) life: u64,
    /// When this life began, by the world's clock and by the replica's own.
    pub(crate) born: u64,
    pub(crate) epoch: Instant,
    /// Rung with each message, so that the driver lets the world go on.
    pub(crate) outbox: Arc<Notify>,
    pub(crate) world: SharedWorld,
}

impl Link {
    /// The world's time as this replica has it.
    pub(crate) fn now(&self) -> u64 {
        let lived = self.epoch.elapsed().as_millis();
        self.born + u64::try_from(lived).unwrap_or(u64::MAX)
    }

    /// Sends a message; `at_server` is told how to answer. `None`: no answer within `patience`.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        latency: impl FnOnce(&mut World) -> u64,
        at_server: impl FnOnce(&mut World, Answer<T>) + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        {
            let mut world = self.world.lock();
            world.n_messages += 1;
            let delay = latency(&mut world);
            let at = self.now().max(world.now) + delay;
            let answer = Answer { sender };
            world.schedule(at, Event::Net(Box::new(move |world| at_server(world, answer))));
        }
        self.outbox.notify_one();
        // A server that drops the sender answers nothing: its caller waits all the same.
        let receive = async {
            match receiver.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        };
        timeout(patience, receive).await.ok()
    }
}

/// How to answer a message.
pub(crate) struct Answer<T> {
    sender: tokio::sync::oneshot::Sender<T>,
}

impl<T: Send + 'static> Answer<T> {
    /// Answers, after `delay` milliseconds.
    pub(crate) fn send(self, world: &mut World, delay: u64, answer: T) {
        world.deliver(delay, move |_| {
            // Nobody may be waiting any more.
            let _ = self.sender.send(answer);
        });
    }
}
