//! The contract over HTTP: requests are parsed, the CRM is called, answers are written.
//!
//! Invariants:
//! - every refusal and failure is a problem document with a stable code;
//! - nothing under `/api/` is answered without the token, where one is configured;
//! - bodies, pages and the number of watches have limits, and every answer but a watch has a
//!   deadline.

mod answer;
mod around;
mod body;
mod deployments;
mod probes;
mod query;
mod records;
mod terms;
mod watch;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{delete, get, post},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::answer::Failure;
use crate::{
    crm::Crm,
    server::{RenderMetrics, token::Tokens},
};

/// The most watches at once.
const MAX_WATCHES: usize = 512;

/// What the routes stand on.
pub struct App {
    crm: Arc<Crm>,
    tokens: Option<Arc<Tokens>>,
    render_metrics: Option<RenderMetrics>,
    bookmark_interval: Duration,
    watches: Arc<Semaphore>,
    /// Ends watches.
    stop: CancellationToken,
}

impl App {
    /// An application over `crm`; `stop` ends its watches.
    pub fn new(crm: Arc<Crm>, bookmark_interval: Duration, stop: CancellationToken) -> Self {
        Self {
            crm,
            tokens: None,
            render_metrics: None,
            bookmark_interval,
            watches: Arc::new(Semaphore::new(MAX_WATCHES)),
            stop,
        }
    }

    /// Asks for the token under `/api/`.
    #[must_use]
    pub(crate) fn with_tokens(mut self, tokens: Option<Arc<Tokens>>) -> Self {
        self.tokens = tokens;
        self
    }

    /// Answers `/metrics` with what `render` writes.
    #[must_use]
    pub(crate) fn with_metrics(mut self, render: Option<RenderMetrics>) -> Self {
        self.render_metrics = render;
        self
    }
}

/// The routes of the contract, and the probes.
pub fn router(app: App) -> Router {
    let app = Arc::new(app);
    Router::new()
        .route("/api/v1/health", get(probes::health))
        .route("/api/v1/deployments", post(deployments::apply))
        .route("/api/v1/deployments/{id}", get(deployments::status).delete(deployments::delete))
        .route("/api/v1/deployment-records", get(records::list))
        .route("/api/v1/deployment-records/{id}", get(records::one))
        .route("/api/v1/terms", get(terms::list))
        .route("/api/v1/terms/{*owner}", delete(terms::forget))
        .route("/healthz", get(probes::ready))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(probes::metrics))
        .fallback(async || Failure::NoRoute)
        .method_not_allowed_fallback(async || Failure::NoMethod)
        .layer(from_fn_with_state(Arc::clone(&app), around::around))
        .with_state(app)
}
