//! A CRM in this process: it takes every unit at once, says when each came, and can be down or slow.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use oprc_models::{
    cluster::{ClusterHealth, HealthStatus, features},
    crm::{DeploymentResponse, RecordPage},
    meta::Timestamp,
    names::UnitId,
    record::{DeploymentRecord, RecordStatus, RunCondition},
    unit::DeploymentUnit,
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::process::free_addr;

/// How it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing listens.
    Refuses,
    /// Connections are taken and closed.
    HangsUp,
    /// Every call is answered 500.
    Fails,
}

impl Fault {
    pub(crate) const ALL: [Self; 3] = [Self::Refuses, Self::HangsUp, Self::Fails];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refuses => "refuses connections",
            Self::HangsUp => "hangs up",
            Self::Fails => "answers 500",
        }
    }
}

/// A unit that came: of which deployment, and when.
pub(crate) type Arrival = (String, Instant);

struct Shared {
    cluster: String,
    records: Mutex<BTreeMap<UnitId, DeploymentRecord>>,
    fails: Mutex<bool>,
    /// How long it thinks about each call.
    delay: Mutex<Duration>,
    /// Calls and connections that came while it was down.
    n_wasted: Mutex<usize>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// The CRM, serving until dropped.
pub(crate) struct FakeCrm {
    shared: Arc<Shared>,
    pub(crate) addr: SocketAddr,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl FakeCrm {
    /// A CRM of `cluster` that is up, and where it tells of arrivals.
    pub(crate) async fn start(cluster: &str) -> (Self, mpsc::UnboundedReceiver<Arrival>) {
        let (sender, arrivals) = mpsc::unbounded_channel();
        (Self::telling(cluster, sender).await, arrivals)
    }

    /// As [`start`](Self::start), telling `arrivals`.
    pub(crate) async fn telling(cluster: &str, arrivals: mpsc::UnboundedSender<Arrival>) -> Self {
        let shared = Arc::new(Shared {
            cluster: cluster.to_owned(),
            records: Mutex::default(),
            fails: Mutex::default(),
            delay: Mutex::default(),
            n_wasted: Mutex::default(),
            arrivals,
        });
        let stop = CancellationToken::new();
        let mut crm = Self { shared, addr: free_addr(), stop, serving: None };
        crm.serve().await;
        crm
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on, thinks about each call for so long.
    pub(crate) fn be_slow(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// Goes down, and counts what comes meanwhile.
    pub(crate) async fn go_down(&mut self, fault: Fault) {
        *self.shared.n_wasted.lock().unwrap() = 0;
        match fault {
            Fault::Fails => *self.shared.fails.lock().unwrap() = true,
            Fault::Refuses => self.close().await,
            Fault::HangsUp => {
                self.close().await;
                let (shared, listener) = (Arc::clone(&self.shared), self.listen().await);
                let stopped = self.stop.clone();
                self.serving = Some(tokio::spawn(async move {
                    let hang_up = async {
                        while let Ok((stream, _)) = listener.accept().await {
                            drop(stream);
                            *shared.n_wasted.lock().unwrap() += 1;
                        }
                    };
                    tokio::select! { () = hang_up => (), () = stopped.cancelled() => () }
                }));
            }
        }
    }

    /// Comes back; answers how many calls came while it was down.
    pub(crate) async fn come_back(&mut self, fault: Fault) -> usize {
        match fault {
            Fault::Fails => *self.shared.fails.lock().unwrap() = false,
            Fault::Refuses => self.serve().await,
            Fault::HangsUp => {
                self.close().await;
                self.serve().await;
            }
        }
        *self.shared.n_wasted.lock().unwrap()
    }

    /// Closes the listener and, since none is in the middle of a call, every connection.
    async fn close(&mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            serving.await.unwrap();
        }
        self.stop = CancellationToken::new();
    }

    async fn listen(&self) -> TcpListener {
        TcpListener::bind(self.addr).await.unwrap()
    }

    async fn serve(&mut self) {
        let (listener, stopped) = (self.listen().await, self.stop.clone());
        let routes = Router::new()
            .route("/api/v1/health", get(health))
            .route("/api/v1/deployments", post(apply))
            .route("/api/v1/deployment-records", get(records))
            .layer(from_fn_with_state(Arc::clone(&self.shared), fail))
            .with_state(Arc::clone(&self.shared));
        self.serving = Some(tokio::spawn(async move {
            let serve = axum::serve(listener, routes);
            serve.with_graceful_shutdown(stopped.cancelled_owned()).await.unwrap();
        }));
    }
}

impl Drop for FakeCrm {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn fail(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if *shared.fails.lock().unwrap() {
        *shared.n_wasted.lock().unwrap() += 1;
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let delay = *shared.delay.lock().unwrap();
    if !delay.is_zero() {
        sleep(delay).await;
    }
    next.run(request).await
}

async fn health(State(shared): State<Arc<Shared>>) -> Json<ClusterHealth> {
    Json(ClusterHealth {
        cluster_name: shared.cluster.parse().unwrap(),
        status: HealthStatus::Healthy,
        crm_version: None,
        last_seen: None,
        node_count: None,
        ready_nodes: None,
        availability: None,
        capacity: None,
        labels: BTreeMap::new(),
        features: vec![features::GENERATIONS.to_owned(), features::TERMS.to_owned()],
        caller: None,
    })
}

async fn apply(
    State(shared): State<Arc<Shared>>,
    Json(unit): Json<DeploymentUnit>,
) -> (StatusCode, Json<DeploymentResponse>) {
    // Nobody may listen any more.
    let _ = shared.arrivals.send((unit.deployment_key.to_string(), Instant::now()));
    let now = Timestamp::UNIX_EPOCH;
    let condition = RunCondition::Running;
    let status = RecordStatus {
        condition,
        phase: "Running".to_owned(),
        message: None,
        last_updated: now,
        functions: Vec::new(),
    };
    let record = DeploymentRecord {
        id: unit.id.clone(),
        deployment_key: unit.deployment_key,
        package_name: unit.package_name,
        class_key: unit.class_key,
        cluster_name: unit.target_env.clone(),
        target_environment: unit.target_env,
        owner: unit.owner,
        generation: unit.generation,
        spec_hash: unit.spec_hash,
        status,
        nfr_compliance: None,
        resource_refs: Vec::new(),
        runtime: None,
        created_at: now,
        updated_at: now,
    };
    shared.records.lock().unwrap().insert(unit.id.clone(), record);
    let answer = DeploymentResponse { id: unit.id, status: condition, message: None };
    (StatusCode::CREATED, Json(answer))
}

async fn records(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<RecordPage> {
    let limit: usize = query["limit"].parse().unwrap();
    let after = query.get("continue");
    let records = shared.records.lock().unwrap();
    let mut rest =
        records.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after.as_str()));
    let items: Vec<_> = rest.by_ref().take(limit).map(|(_, record)| record.clone()).collect();
    let has_more = rest.next().is_some();
    let last = items.last().map(|record| record.id.to_string());
    Json(RecordPage { items, r#continue: last.filter(|_| has_more), revision: 0 })
}
