//! Starts the parts, supervises them, and stops them in order.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use oprc_config::pm::Config;
use oprc_controller_runtime::{
    backoff::Backoff,
    cache::{Cache, Freshness},
    leading::{Election, LeaseRuntime, Options as ElectionOptions, Term},
};
use oprc_controllers::{
    Budget, Context, Controllers, Now, Recorder, Settings, Watchdog, installation,
};
use oprc_cp_storage::{health, keys::Key};
use oprc_crm_client::breaker;
use oprc_http::tls::{Tls, TlsError};
use oprc_models::{installation::Identity, meta::Timestamp};
use oprc_observability::{LinesGuard, Report};
use oprc_pm_api::{ApiState, Limits, auth::KeyRing, router};
use tokio::{net::TcpListener, runtime::Handle, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    crms::connect,
    door,
    keys::{self, KeyError},
    register::register_all,
    storage::{self, OpenError, Stores},
};

/// How long a linearizable read waits for the store, and again for the cache.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// How many revisions before its start a watch can be resumed at, where the store still has them: a
/// client of a replica that ends goes on at another, or at the same when it is back.
const WATCHABLE_PAST: u64 = 10_000;

/// Writes the metrics as Prometheus reads them.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What a server is started with beside its configuration.
#[derive(Default)]
pub struct Options {
    /// What writes the metrics; `None`: there is no `/metrics`.
    pub render_metrics: Option<RenderMetrics>,
}

/// Why the server cannot be started. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The keys of tokens cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The thread for the lease cannot be had.
    #[error("the thread of the lease cannot be started")]
    LeaseThread(#[source] io::Error),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used")]
    Tls(#[from] TlsError),
    /// The audit log cannot be opened.
    #[error("the audit log cannot be opened")]
    Audit(#[source] io::Error),
    /// More than one of these.
    #[error("{}", several(.0))]
    Several(Vec<Self>),
}

/// Each of `errors` on a line, with its causes.
fn several(errors: &[StartError]) -> String {
    let lines = errors.iter().map(|error| format!("\n  {}", Report(error)));
    format!("{} mistakes{}", errors.len(), lines.collect::<String>())
}

/// All four, or every error of them, so that one start reports every mistake.
fn all<A, B, C, D>(
    a: Result<A, StartError>,
    b: Result<B, StartError>,
    c: Result<C, StartError>,
    d: Result<D, StartError>,
) -> Result<(A, B, C, D), StartError> {
    match (a, b, c, d) {
        (Ok(a), Ok(b), Ok(c), Ok(d)) => Ok((a, b, c, d)),
        (a, b, c, d) => {
            let errors = [a.err(), b.err(), c.err(), d.err()];
            let mut errors: Vec<StartError> = errors.into_iter().flatten().collect();
            match errors.pop() {
                Some(only) if errors.is_empty() => Err(only),
                last => {
                    errors.extend(last);
                    Err(StartError::Several(errors))
                }
            }
        }
    }
}

/// A server that runs until it is shut down or dropped.
pub struct Running {
    addr: SocketAddr,
    /// Ends the controllers and gives the lease back.
    leading: CancellationToken,
    /// Ends everything else.
    stop: CancellationToken,
    election: JoinSet<()>,
    serving: JoinSet<()>,
    parts: JoinSet<()>,
    grace: Duration,
    /// Writes the last lines when everything else has ended.
    _audit: Option<LinesGuard>,
    // Last, so that the lease's connection outlives what is asked of it.
    _lease_runtime: LeaseRuntime,
}

/// Starts the Package Manager that `config` describes.
///
/// # Errors
///
/// See [`StartError`].
pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
    // First what fails fastest: a taken port must not wait for a store.
    let addr = SocketAddr::new(config.server.host, config.server.port);
    let listen = |source| StartError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(listen);
    let tls = config.tls.clone().map(|tls| Tls::load(door::files(tls))).transpose();
    let audit = door::audit(&config.audit).map_err(StartError::Audit);
    let access = keys::access(&config.auth).map_err(StartError::from);
    let (listener, tls, audit, access) =
        all(listener, tls.map_err(StartError::from), audit, access)?;
    let addr = listener.local_addr().map_err(listen)?;
    let (audit, audit_guard) = audit.unzip();
    let (access, key_sources) = access;
    let lease_runtime = LeaseRuntime::start().map_err(StartError::LeaseThread)?;
    let stores = storage::open(&config.storage, lease_runtime.handle()).await?;

    let (stop, leading) = (CancellationToken::new(), CancellationToken::new());
    let mut parts = JoinSet::new();
    let cache = cache(&stores, &mut parts, &stop);
    let filling = (Arc::clone(&cache), stop.clone());
    parts.spawn(async move { filling.0.run(filling.1).await });
    let store = Arc::clone(&stores.main);
    let (freshness, asking) =
        Freshness::new(Arc::clone(&cache), store, READ_PATIENCE, stop.clone());
    parts.spawn(asking);
    let registering = register_all(Arc::clone(&stores.main), config.crms.clone(), now, new_uid);
    parts.spawn(until(&stop, registering));
    let key_ring = key_sources.as_ref().map(keys::Sources::ring);
    if let Some(sources) = key_sources {
        parts.spawn(until(&stop, async move { sources.keep().await }));
    }

    let watchdog = Watchdog::default();
    let api = ApiState {
        store: Arc::clone(&stores.main),
        cache: Arc::clone(&cache),
        freshness,
        owner: config.controllers.owner.as_str().into(),
        now: Arc::new(now),
        new_uid: Arc::new(new_uid),
        access,
        limits: limits(&config),
        metrics: options.render_metrics,
        readiness: readiness(watchdog.clone(), key_ring),
        default_cluster: config.default_cluster.clone(),
        stopping: stop.clone(),
        door: door::door(&config, audit),
    };
    let mut election = JoinSet::new();
    let handle = lease_runtime.handle().clone();
    let identity = format!("{addr}/{}", new_uid());
    election.spawn(lead(&config, stores, cache, watchdog, identity, handle, leading.clone()));
    let mut serving = JoinSet::new();
    let grace = config.server.shutdown_grace_secs.secs();
    let is_tls = tls.is_some();
    let tls = tls.map(|tls| door::keep_certificates(tls, &mut parts, stop.clone()));
    let service = door::introduced(router(api));
    serving.spawn(oprc_http::serve(listener, tls, service, grace, stop.clone()));
    tracing::info!(%addr, is_tls, version = env!("CARGO_PKG_VERSION"), "serving");
    Ok(Running {
        addr,
        leading,
        stop,
        election,
        serving,
        parts,
        grace,
        _audit: audit_guard,
        _lease_runtime: lease_runtime,
    })
}

/// The cache of the main store, and the probe of writes to it.
fn cache(stores: &Stores, parts: &mut JoinSet<()>, stop: &CancellationToken) -> Arc<Cache> {
    let (main, writes) = (Arc::clone(&stores.main), Arc::clone(&stores.writes));
    let cache = Cache::with_health(Arc::clone(&main), WATCHABLE_PAST, Arc::clone(&writes));
    parts.spawn(until(stop, health::keep(main, writes)));
    cache
}

/// Runs `work` until it ends or `stop`.
fn until(
    stop: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let stopped = stop.clone();
    async move {
        tokio::select! { () = work => (), () = stopped.cancelled() => () }
    }
}

/// Stands for election until `stop`, and runs the controllers in each term.
fn lead(
    config: &Config,
    stores: Stores,
    cache: Arc<Cache>,
    watchdog: Watchdog,
    identity: String,
    lease_runtime: Handle,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let Stores { main: store, lease, writes } = stores;
    let mut options =
        ElectionOptions::new(Key::Leader("pm".to_owned()).to_string(), identity, seed());
    options.writes = Some(writes);
    options.ttl_secs = u32::try_from(config.leader.ttl_secs.get()).unwrap_or(u32::MAX);
    let controllers = Controllers {
        settings: settings(&config.crm_calls),
        connect: connect(&config.crms, config.crm_calls.max_in_flight.count()),
        backoff: Backoff {
            base: config.controllers.backoff_base_ms.millis(),
            cap: config.controllers.backoff_cap_secs.secs(),
        },
        watchdog,
        seed: seed(),
    };
    let history_limit = config.controllers.history_limit.count();
    let version_limit = config.controllers.version_limit.count();
    let name: Arc<str> = config.controllers.owner.as_str().into();
    let default_cluster = config.default_cluster.clone();
    async move {
        // A replica that cannot see what there is has nothing to lead with.
        tokio::select! {
            () = cache.filled() => (),
            () = stop.cancelled() => return,
        }
        let election = Election::new(lease, options);
        let body = |term: Term| {
            let (store, cache) = (Arc::clone(&store), Arc::clone(&cache));
            let (name, default_cluster) = (Arc::clone(&name), default_cluster.clone());
            let controllers = &controllers;
            async move {
                let ended = term.ended().clone();
                let clock: Now = Arc::new(now);
                let made = installation::ensure(&store, &term, &new_uid(), &clock).await;
                let Some(installation) = made else { return };
                let identity = Identity::new(&name, &installation);
                tracing::info!(owner = %identity.owner(), "controllers start");
                let context = Context {
                    history_limit,
                    version_limit,
                    store,
                    cache,
                    now: clock,
                    identity,
                    recovered_at: installation.recovered_at,
                    default_cluster,
                    recorder: Recorder::new(Arc::new(now)),
                    term,
                };
                controllers.run(context, ended).await;
            }
        };
        election.lead(&lease_runtime, stop, body).await;
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn limits(config: &Config) -> Limits {
    let defaults = Limits::default();
    let server = &config.server;
    Limits {
        max_body_bytes: server.max_body_bytes.count(),
        max_apply_bytes: server.max_apply_bytes.count(),
        request_timeout: server.request_timeout_secs.secs(),
        max_writes: server.max_in_flight.count().min(defaults.max_writes),
        max_reads: server.max_in_flight.count(),
        max_revisions: config.controllers.history_limit.count(),
        version_policy: config.controllers.version_policy,
        max_watches: server.max_watches.count(),
        bookmark_interval: server.watch_bookmark_secs.secs(),
        ..defaults
    }
}

/// Why the process is not ready, the cache aside.
fn readiness(
    watchdog: Watchdog,
    key_ring: Option<Arc<KeyRing>>,
) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
    Arc::new(move || {
        let mut reasons = watchdog.stalled();
        if key_ring.as_ref().is_some_and(|ring| !ring.is_filled()) {
            reasons.push("the keys of tokens have not been fetched yet".to_owned());
        }
        reasons
    })
}

impl Running {
    /// The address that the API listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends when a part has ended by itself, which it should not.
    pub async fn failed(&mut self) {
        tokio::select! {
            Some(_) = self.election.join_next() => (),
            Some(_) = self.serving.join_next() => (),
        }
        tracing::error!("a part of the server has ended");
    }

    /// Hands over, answers what is under way, and ends, within the configured grace.
    pub async fn shutdown(mut self) {
        self.leading.cancel();
        let in_order = async {
            while self.election.join_next().await.is_some() {}
            self.stop.cancel();
            while self.serving.join_next().await.is_some() {}
            while self.parts.join_next().await.is_some() {}
        };
        if timeout(self.grace, in_order).await.is_err() {
            tracing::warn!("some requests were cut off at the end of the grace");
        }
    }
}

fn settings(calls: &oprc_config::pm::CrmCalls) -> Settings {
    let defaults = Settings::default();
    Settings {
        poll_interval: calls.poll_interval_secs.secs(),
        relist_interval: calls.resync_interval_secs.secs(),
        max_in_flight: calls.max_in_flight.count(),
        breaker: breaker::Config {
            failures_to_open: u32::try_from(calls.breaker_failures.get()).unwrap_or(u32::MAX),
            probe_min: calls.breaker_probe_ms.millis(),
            seed: seed(),
            ..breaker::Config::default()
        },
        budget: Budget {
            max_records: calls.max_records.count(),
            max_bytes: calls.max_records_mib.count().saturating_mul(1024 * 1024),
        },
        ..defaults
    }
}

/// A seed for jitter: replicas must not act in step.
fn seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
