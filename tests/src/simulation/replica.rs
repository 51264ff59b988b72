//! One replica of the Package Manager: the production parts, wired as production wires them, on a
//! runtime of its own with a clock of its own.
//!
//! Its runtime is run by the driver, a little at a time, on the driver's thread. A replica that is
//! not run is paused, as by SIGSTOP: nothing of it is polled, while the world goes on. Dropping the
//! runtime drops everything that it was doing, wherever it was, as SIGKILL does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oprc_controller_runtime::{
    backoff::Backoff,
    cache::{Cache, Freshness},
    leading::{Election, Options, Term},
};
use oprc_controllers::{Context, Controllers, Now, Recorder, Settings, Watchdog, installation};
use oprc_cp_storage::{
    SharedStore,
    group_commit::{self, GroupCommit},
};
use oprc_crm_client::{Crm, breaker};
use oprc_models::installation::Identity;
use oprc_pm_api::writes::Writes;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    crm_client::CrmClient,
    store::StoreClient,
    world::{Link, SharedWorld, wall},
};

/// The key that is campaigned for.
pub(crate) const LEADER_KEY: &str = "leader/pm";
/// How long the leader's lease lives.
pub(crate) const TTL_SECS: u32 = 5;
/// Who we are towards CRMs.
pub(crate) const OWNER: &str = "oprc-pm/sim";

/// The configured name of the installation.
const NAME: &str = "oprc-pm";

/// The id of the installation.
pub(crate) const INSTALLATION: &str = "sim";

/// Revisions kept of a document: few, so that they are trimmed.
pub(crate) const HISTORY_LIMIT: usize = 2;

/// How long a linearizable read waits, as in production.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// A replica that runs.
pub(crate) struct Replica {
    runtime: Option<Runtime>,
    pub(crate) link: Link,
    /// How far its clock is, in the world's milliseconds.
    pub(crate) clock: u64,
    pub(crate) is_paused: bool,
    leading: CancellationToken,
    pub(crate) writes: Writes,
    pub(crate) cache: Arc<Cache>,
    pub(crate) watchdog: Watchdog,
}

impl Replica {
    /// Starts replica `id` for the `life`-th time.
    pub(crate) fn start(id: usize, life: u64, world: &SharedWorld) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap_or_else(|error| unreachable!("a runtime without IO: {error}"));
        let (born, seed, skew) = {
            let mut world = world.lock();
            // The wall clocks of replicas differ, by hours at times.
            let skew = Arc::clone(&world.skews[id]);
            skew.store(world.dice.pick(&[0, 0, 17, 3_600_000, 90_000_000]), Ordering::Relaxed);
            (world.now, world.dice.seed(), skew)
        };
        let link = Link {
            replica: id,
            life,
            born,
            epoch: runtime.block_on(async { Instant::now() }),
            outbox: Arc::new(Notify::new()),
            world: Arc::clone(world),
        };
        let leading = CancellationToken::new();
        let watchdog = Watchdog::default();
        let entered = runtime.enter();
        let (writes, cache) = wire(&link, seed, skew, leading.clone(), watchdog.clone());
        drop(entered);
        Self {
            runtime: Some(runtime),
            link,
            clock: born,
            is_paused: false,
            leading,
            writes,
            cache,
            watchdog,
        }
    }

    /// Lets it run until its clock is at `limit`, or until it has sent a message.
    pub(crate) fn run(&mut self, limit: u64) {
        let Some(runtime) = &self.runtime else { return };
        let deadline = self.link.epoch + Duration::from_millis(limit - self.link.born);
        let link = &self.link;
        self.clock = runtime.block_on(async {
            tokio::select! {
                biased;
                () = link.outbox.notified() => (),
                () = sleep_until(deadline) => (),
            }
            link.now()
        });
    }

    /// Wakes it after a pause, at `now`: its clock jumps, and all that is overdue is due at once.
    pub(crate) fn wake(&mut self, now: u64) {
        self.is_paused = false;
        let Some(runtime) = &self.runtime else { return };
        let behind = now.saturating_sub(self.clock);
        self.clock = runtime.block_on(async {
            tokio::time::advance(Duration::from_millis(behind)).await;
            self.link.now()
        });
    }

    /// Has it hand over, as on SIGTERM.
    pub(crate) fn terminate(&self) {
        self.leading.cancel();
    }

    /// Runs `task` on it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Wires and spawns the parts, as `oprc-pm` does.
fn wire(
    link: &Link,
    seed: u64,
    skew: Arc<AtomicU64>,
    leading: CancellationToken,
    watchdog: Watchdog,
) -> (Writes, Arc<Cache>) {
    // Never cancelled: a life ends by the runtime's being dropped.
    let stop = CancellationToken::new();
    let client = StoreClient { link: link.clone() };
    let lease_store: SharedStore = Arc::new(client.clone());
    let store: SharedStore = Arc::new(GroupCommit::new(client, group_commit::Options::default()));
    let cache = Cache::new(Arc::clone(&store));
    let filling = (Arc::clone(&cache), stop.clone());
    tokio::spawn(async move { filling.0.run(filling.1).await });
    let (freshness, asking) =
        Freshness::new(Arc::clone(&cache), Arc::clone(&store), READ_PATIENCE, stop);
    tokio::spawn(asking);

    let clock = link.clone();
    let now = Arc::new(move || wall(clock.now() + skew.load(Ordering::Relaxed)));
    let world = Arc::clone(&link.world);
    let new_uid = Arc::new(move || world.lock().new_uid());
    let (max_txn_ops, has_events, default_cluster) = {
        let world = link.world.lock();
        (world.max_txn_ops, world.has_events, world.default_cluster.clone())
    };
    let writes =
        Writes::new(Arc::clone(&store), Arc::clone(&cache), freshness, now.clone(), new_uid);
    let writes = match max_txn_ops {
        Some(max) => writes.in_transactions_of(max),
        None => writes,
    };
    let recorder = if has_events { Recorder::new(now.clone()) } else { Recorder::off() };

    let of_api = Arc::clone(&cache);
    let of_crms = link.clone();
    let settings = Settings {
        breaker: breaker::Config { seed, ..breaker::Config::default() },
        ..Settings::default()
    };
    let controllers = Controllers {
        settings,
        connect: Arc::new(move |spec| {
            let link = of_crms.clone();
            Ok(Arc::new(CrmClient { link, cluster: spec.name.clone() }) as Arc<dyn Crm>)
        }),
        backoff: Backoff::default(),
        watchdog,
        seed,
    };
    let mut options = Options::new(LEADER_KEY, format!("r{}", link.replica), seed);
    options.ttl_secs = TTL_SECS;
    tokio::spawn(async move {
        cache.filled().await;
        let election = Election::new(lease_store, options);
        let body = |term: Term| {
            let ended = term.ended().clone();
            let (store, cache, now) = (Arc::clone(&store), Arc::clone(&cache), now.clone());
            let (recorder, default_cluster) = (recorder.clone(), default_cluster.clone());
            let controllers = &controllers;
            async move {
                let now: Now = now;
                let made = installation::ensure(&store, &term, INSTALLATION, &now).await;
                let Some(installation) = made else { return };
                let context = Context {
                    recovered_at: installation.recovered_at,
                    default_cluster,
                    history_limit: HISTORY_LIMIT,
                    version_limit: 20,
                    recorder,
                    store,
                    cache,
                    now,
                    identity: Identity::new(NAME, &installation),
                    term,
                };
                controllers.run(context, ended).await;
            }
        };
        election.lead(&Handle::current(), leading, body).await;
    });
    (writes, of_api)
}
