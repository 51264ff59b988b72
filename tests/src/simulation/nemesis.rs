//! What goes wrong, and when: chosen by the seed, and put right in the end.

use std::{fmt, sync::atomic::Ordering};

use oprc_models::{
    names::ClusterName,
    record::{RecordStatus, RunCondition},
};

use super::{
    crm::{Held, Mood},
    dice::Dice,
    replica::OWNER,
    users::Wish,
    world::{Event, Weather, World, note},
};

/// What the driver does to the replicas and to the weather.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    /// A replica is killed where it is.
    Crash(usize),
    /// It is started again, if it is down.
    Start(usize),
    /// It is stopped, as by SIGSTOP, and goes on after these milliseconds.
    Pause(usize, u64),
    /// It goes on.
    Wake(usize, u64),
    /// It is asked to end.
    Terminate(usize),
    /// A user asks for something.
    Ask(Wish),
    /// Something goes wrong, for these milliseconds if it lasts.
    Fault(Fault, u64),
    /// It is put right.
    Mend(Fault),
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    CrashReplica(usize),
    CrashOnEffects,
    PauseReplica(usize),
    TerminateReplica(usize),
    StoreDown,
    StoreCut(usize),
    StoreSlow,
    StoreLosesAnswers,
    StoreWritesLate,
    StoreRefuses,
    WatchLag,
    WatchSilent,
    WatchBroken,
    WatchRepeats,
    Compaction,
    LeaseRevoked,
    FakeKeepAlives,
    CrmCut(usize, ClusterName),
    CrmDead(ClusterName),
    CrmHangs(ClusterName),
    CrmFlaps(ClusterName),
    CrmSlow(ClusterName),
    CrmLosesAnswers(ClusterName),
    CrmGarbage(ClusterName),
    CrmBusy(ClusterName),
    CrmRefuses(ClusterName),
    CrmAnother(ClusterName),
    CrmUnauthorized(ClusterName),
    CrmReportsLate(ClusterName),
    CrmBreaksListings(ClusterName),
    CrmBreaksWatches(ClusterName),
    CrmWiped(ClusterName),
    CrmBackup(ClusterName),
    CrmRestored(ClusterName),
    CrmForgets(ClusterName),
    CrmStranger(ClusterName),
    CrmOrphan(ClusterName),
    CrmPoison(ClusterName),
    ClockJumps(usize),
    ValueDamaged,
    StoreBackup,
    StoreRestored,
    StoreEmptied,
    CompactionBehind,
    CompactionWhole,
    MemberLags(usize),
    WatchLoses,
    CrmCallsLate(ClusterName),
    CrmListsNothing(ClusterName),
    CrmDeletesSlowly(ClusterName),
    StoreWentBack,
    StoreGoesBack,
    CrmDeletesUnseen(ClusterName),
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(wish) => write!(f, "user: {wish}"),
            Self::Fault(fault, millis) => write!(f, "fault: {fault:?} ({millis} ms, if it lasts)"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// How many kinds [`Fault::draw`] chooses from.
pub(crate) const KINDS: usize = 52;

/// The kind after which caches may be wrong until their second look: it blinds the checker, so it
/// is drawn more rarely.
pub(crate) const BLINDING: usize = 46;

impl Fault {
    /// A fault of the `kind`-th kind, somewhere.
    pub(crate) fn draw(
        kind: usize,
        dice: &mut Dice,
        clusters: &[ClusterName],
        n_replicas: usize,
    ) -> Self {
        let cluster = clusters[dice.index(clusters.len())].clone();
        let replica = dice.index(n_replicas);
        match kind {
            0 | 1 => Self::CrashReplica(replica),
            2 => Self::CrashOnEffects,
            3 => Self::PauseReplica(replica),
            4 => Self::TerminateReplica(replica),
            5 => Self::StoreDown,
            6 => Self::StoreCut(replica),
            7 => Self::StoreSlow,
            8 => Self::StoreLosesAnswers,
            9 => Self::StoreWritesLate,
            10 => Self::StoreRefuses,
            11 => Self::WatchLag,
            12 => Self::WatchSilent,
            13 => Self::WatchBroken,
            14 => Self::WatchRepeats,
            15 => Self::Compaction,
            16 => Self::LeaseRevoked,
            17 => Self::FakeKeepAlives,
            18 => Self::CrmCut(replica, cluster),
            19 => Self::CrmDead(cluster),
            20 => Self::CrmHangs(cluster),
            21 => Self::CrmFlaps(cluster),
            22 => Self::CrmSlow(cluster),
            23 => Self::CrmLosesAnswers(cluster),
            24 => Self::CrmGarbage(cluster),
            25 => Self::CrmBusy(cluster),
            26 => Self::CrmRefuses(cluster),
            27 => Self::CrmAnother(cluster),
            28 => Self::CrmUnauthorized(cluster),
            29 => Self::CrmReportsLate(cluster),
            30 => Self::CrmBreaksListings(cluster),
            31 => Self::CrmBreaksWatches(cluster),
            32 => Self::CrmWiped(cluster),
            33 => Self::CrmBackup(cluster),
            34 => Self::CrmRestored(cluster),
            35 => Self::CrmForgets(cluster),
            36 => Self::CrmStranger(cluster),
            37 => Self::CrmOrphan(cluster),
            38 => Self::CrmPoison(cluster),
            39 => Self::ClockJumps(replica),
            40 => Self::ValueDamaged,
            41 => Self::StoreBackup,
            42 => Self::StoreRestored,
            43 => Self::StoreEmptied,
            44 => Self::CompactionBehind,
            45 => Self::MemberLags(replica),
            BLINDING => Self::WatchLoses,
            47 => Self::CrmCallsLate(cluster),
            48 => Self::CrmListsNothing(cluster),
            49 => Self::CrmDeletesSlowly(cluster),
            50 => Self::StoreWentBack,
            _ => Self::CrmDeletesUnseen(cluster),
        }
    }
}

impl World {
    /// Lets `fault` strike, and puts it right `millis` later if it lasts.
    pub(crate) fn strike_fault(&mut self, fault: Fault, millis: u64) {
        note!(self, "fault {fault:?} for {millis} ms");
        if millis >= 3_600_000 {
            self.strike("outage of hours");
        }
        // A call that is late is harmful only if much is asked for meanwhile.
        let millis =
            if matches!(fault, Fault::CrmCallsLate(_)) { millis.max(30_000) } else { millis };
        if self.change_weather(&fault, false) {
            let mend = Event::Control(Control::Mend(fault));
            self.schedule(self.now + millis, mend);
            return;
        }
        let now = self.now;
        let control = |world: &mut Self, control| world.schedule(now, Event::Control(control));
        match fault {
            Fault::CrashReplica(replica) => control(self, Control::Crash(replica)),
            Fault::PauseReplica(replica) => control(self, Control::Pause(replica, millis)),
            Fault::TerminateReplica(replica) => control(self, Control::Terminate(replica)),
            Fault::WatchSilent => self.weather.watch_silent_until = now + millis,
            Fault::ClockJumps(replica) => {
                let skew = self.dice.within(0..=90_000_000);
                self.skews[replica].store(skew, Ordering::Relaxed);
                self.strike("wall clock jumps");
            }
            Fault::StoreBackup => self.back_up_store(),
            Fault::StoreRestored => self.restore_store(),
            Fault::StoreEmptied => self.empty_store(),
            // What is written while watches are silent is compacted away before they hear of it.
            Fault::CompactionBehind => {
                self.weather.watch_silent_until = now + millis;
                let whole = Control::Fault(Fault::CompactionWhole, 0);
                self.schedule(now + millis, Event::Control(whole));
            }
            Fault::CompactionWhole => {
                self.compact_store(0);
                self.break_watches();
            }
            // What is so now is brought back then, as an operator has to: with all replicas stopped.
            Fault::StoreWentBack => {
                self.keep_past();
                let back = Control::Fault(Fault::StoreGoesBack, 0);
                self.schedule(now + millis, Event::Control(back));
            }
            Fault::StoreGoesBack => {
                let n_killed = if self.go_back() { self.lives.len() } else { 0 };
                for replica in 0..n_killed {
                    control(self, Control::Crash(replica));
                }
            }
            Fault::MemberLags(replica) => self.weather.frozen = Some((replica, now + millis)),
            Fault::WatchBroken => self.break_watches(),
            Fault::WatchRepeats => self.repeat_events(),
            Fault::Compaction => {
                let keep = self.dice.within(0..=20);
                self.compact_store(keep);
            }
            Fault::LeaseRevoked => self.revoke_leader(),
            Fault::CrmFlaps(cluster) => {
                let mut at = now;
                while at < now + millis {
                    let up = self.dice.within(500..=6_000);
                    let down = self.dice.within(500..=6_000);
                    let dead = Fault::CrmDead(cluster.clone());
                    self.schedule(at, Event::Control(Control::Fault(dead, down)));
                    at += down + up;
                }
                self.strike("CRM flaps");
            }
            Fault::CrmBreaksWatches(cluster) => self.crm_break_watches(&cluster),
            Fault::CrmWiped(cluster) => {
                self.strike("CRM wiped");
                self.crm_restore(&cluster, Held::default());
            }
            Fault::CrmBackup(cluster) => {
                if let Some(crm) = self.crms.get_mut(&cluster) {
                    crm.backup = Some(crm.held.clone());
                }
            }
            Fault::CrmRestored(cluster) => {
                let backup = self.crms.get_mut(&cluster).and_then(|crm| crm.backup.clone());
                if let Some(backup) = backup {
                    self.strike("CRM restored from a backup");
                    let backup = self.crm_backup(&cluster, backup);
                    self.crm_restore(&cluster, backup);
                }
            }
            Fault::CrmForgets(cluster) => {
                self.strike("CRM forgets generations and terms");
                self.checker.distrust(&cluster);
                if let Some(crm) = self.crms.get_mut(&cluster) {
                    crm.held.tombstones.clear();
                    crm.held.terms.clear();
                }
            }
            Fault::CrmStranger(cluster) => {
                // Another installation of the same name, or one from before there were ids.
                let owner = self.dice.pick(&["oprc-pm/other", "oprc-pm"]);
                self.intrude(&cluster, owner);
            }
            Fault::CrmOrphan(cluster) => self.intrude(&cluster, OWNER),
            _ => (),
        }
    }

    /// Begins or ends a fault that lasts; false for one that does not.
    pub(crate) fn change_weather(&mut self, fault: &Fault, is_over: bool) -> bool {
        let on = !is_over;
        let share = |on: bool, share: f64| if on { share } else { 0.0 };
        let weather = &mut self.weather;
        match fault {
            Fault::CrashOnEffects => self.crash_on_effect = share(on, 0.03),
            Fault::StoreDown => weather.store_down = on,
            Fault::StoreCut(replica) => {
                if on {
                    weather.store_cut.insert(*replica);
                } else {
                    weather.store_cut.remove(replica);
                }
            }
            Fault::StoreSlow => weather.store_slow = if on { 2_500 } else { 0 },
            Fault::StoreLosesAnswers => weather.store_lost_answers = share(on, 0.3),
            Fault::StoreWritesLate => weather.store_late_writes = share(on, 0.15),
            Fault::StoreRefuses => weather.store_refuses = share(on, 0.3),
            Fault::WatchLag => weather.watch_lag = if on { 4_000 } else { 0 },
            Fault::WatchLoses => weather.watch_losses = share(on, 0.1),
            Fault::FakeKeepAlives => weather.fake_keep_alives = on,
            Fault::ValueDamaged if on => self.spoil(),
            Fault::ValueDamaged => self.heal(),
            Fault::CrmCut(replica, cluster) => {
                let link = (*replica, cluster.clone());
                if on {
                    weather.crm_cut.insert(link);
                } else {
                    weather.crm_cut.remove(&link);
                }
            }
            _ => return self.change_mood(fault, on),
        }
        self.checker.disturbed_at = self.now;
        true
    }

    fn change_mood(&mut self, fault: &Fault, on: bool) -> bool {
        let share = |share: f64| if on { share } else { 0.0 };
        let set: (&ClusterName, Box<dyn FnOnce(&mut Mood)>) = match fault {
            Fault::CrmDead(cluster) => (cluster, Box::new(move |mood| mood.is_dead = on)),
            Fault::CrmHangs(cluster) => {
                (cluster, Box::new(move |mood| (mood.is_dead, mood.hangs) = (on, on)))
            }
            Fault::CrmSlow(cluster) => {
                (cluster, Box::new(move |mood| mood.slow = if on { 6_000 } else { 0 }))
            }
            Fault::CrmLosesAnswers(cluster) => {
                (cluster, Box::new(move |mood| mood.lost_answers = share(0.4)))
            }
            Fault::CrmGarbage(cluster) => {
                (cluster, Box::new(move |mood| mood.garbage = share(0.4)))
            }
            Fault::CrmBusy(cluster) => (cluster, Box::new(move |mood| mood.busy = share(0.5))),
            Fault::CrmRefuses(cluster) => {
                (cluster, Box::new(move |mood| mood.refused = share(0.5)))
            }
            Fault::CrmAnother(cluster) => (cluster, Box::new(move |mood| mood.is_another = on)),
            Fault::CrmUnauthorized(cluster) => {
                (cluster, Box::new(move |mood| mood.is_unauthorized = on))
            }
            Fault::CrmReportsLate(cluster) => {
                (cluster, Box::new(move |mood| mood.report_lag = if on { 8_000 } else { 0 }))
            }
            Fault::CrmBreaksListings(cluster) => {
                (cluster, Box::new(move |mood| mood.breaks_listings = share(0.4)))
            }
            Fault::CrmCallsLate(cluster) => {
                (cluster, Box::new(move |mood| mood.late_calls = share(0.5)))
            }
            Fault::CrmListsNothing(cluster) => {
                (cluster, Box::new(move |mood| mood.lists_nothing = on))
            }
            Fault::CrmDeletesSlowly(cluster) => {
                (cluster, Box::new(move |mood| mood.is_slow_to_delete = on))
            }
            // What it deletes is seen neither going nor gone: who leads from now on knows nothing of it.
            Fault::CrmDeletesUnseen(cluster) => (
                cluster,
                Box::new(move |mood| (mood.lists_nothing, mood.is_slow_to_delete) = (on, on)),
            ),
            Fault::CrmPoison(cluster) => (cluster, Box::new(move |mood| mood.poison = share(0.2))),
            _ => return false,
        };
        if let Some(crm) = self.crms.get_mut(set.0) {
            (set.1)(&mut crm.mood);
        }
        true
    }

    /// A record that nobody asked for appears on a cluster.
    fn intrude(&mut self, cluster: &ClusterName, owner: &str) {
        let number = self.dice.within(0..=2);
        let prefix = if owner == OWNER { "orphan" } else { "stranger" };
        let Ok(id) = format!("{prefix}-{number}").parse::<oprc_models::names::UnitId>() else {
            return;
        };
        let Some(crm) = self.crms.get(cluster) else { return };
        let Some(like) = crm.held.records.values().next() else { return };
        if crm.held.records.contains_key(&id) {
            return;
        }
        let mut record = like.clone();
        record.id = id.clone();
        owner.clone_into(&mut record.owner);
        record.generation = 1;
        if self.dice.chance(0.5)
            && let Ok(key) = id.as_str().parse()
        {
            record.deployment_key = key;
        }
        record.status = RecordStatus { condition: RunCondition::Running, ..record.status };
        self.strike(if owner == OWNER { "orphan appears" } else { "stranger appears" });
        if owner != OWNER
            && let Some(crm) = self.crms.get_mut(cluster)
        {
            crm.strangers.insert(id);
        }
        self.crm_intrude(cluster, record);
    }

    /// Ends every fault.
    pub(crate) fn calm(&mut self) {
        note!(self, "all faults end");
        self.weather = Weather::default();
        self.crash_on_effect = 0.0;
        self.heal();
        self.store.past = None;
        self.bump_revision();
        for crm in self.crms.values_mut() {
            crm.mood = Mood::default();
        }
    }
}
