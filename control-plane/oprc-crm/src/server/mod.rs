//! A CRM as a process serves it: store, work, socket, TLS, and how they end.
//!
//! Shutting down: no new connections, watches end, requests are answered within
//! [`GRACE`], then the work stops and the store is let go.

#[cfg(test)]
mod tests;
pub(crate) mod token;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use oprc_config::{
    crm::{Config, Storage},
    tls::ServerTls,
};
use oprc_cp_storage::{
    SharedStore,
    embedded::{self, EmbeddedStore, OpenError},
    memory::MemoryStore,
};
use oprc_http::tls::{Clients, Files, Tls, TlsError};
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use self::token::Tokens;
use crate::{
    Error,
    clock::Clock,
    http::{App, router},
    runtime::{
        Runtime,
        simulated::{self, Simulated},
    },
    work,
};

/// How long requests may take to end when the server is stopped.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// The file of the embedded store in its folder.
const STORE_FILE: &str = "crm.db";

/// Writes the metrics as Prometheus reads them.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What a server is started with beside its configuration.
#[derive(Default)]
pub struct Options {
    /// Instead of the store that the configuration names.
    pub store: Option<SharedStore>,
    /// Instead of the simulated runtime.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// What writes the metrics; `None`: there is no `/metrics`.
    pub render_metrics: Option<RenderMetrics>,
    /// The wall clock.
    pub clock: Clock,
}

/// Why a server could not be started. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of the store cannot be made.
    #[error("the folder {} cannot be made", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Open(#[from] OpenError),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Read(#[source] Error),
    /// The token cannot be read.
    #[error("the token cannot be read")]
    Token(#[source] io::Error),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used")]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A server that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    is_tls: bool,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), Failed>>,
}

/// A part of the server ended though nobody stopped it; the server has ended with it.
#[derive(Debug, thiserror::Error)]
#[error("a part of the server has failed")]
pub struct Failed(#[source] Option<JoinError>);

/// Starts the CRM that `config` describes.
///
/// # Errors
///
/// See [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, Options::default()).await
}

/// As [`start`], with `options`.
///
/// # Errors
///
/// See [`StartError`].
pub async fn start_with(config: Config, options: Options) -> Result<Running, StartError> {
    let Options { store, runtime, render_metrics, clock } = options;
    let tls = config.tls.map(|tls| Tls::load(files(tls))).transpose()?.map(Arc::new);
    let tokens = config.token.map(Tokens::load).transpose().map_err(StartError::Token)?;
    let tokens = tokens.map(Arc::new);
    let store = match store {
        Some(store) => store,
        None => open_store(config.storage)?,
    };
    let runtime = runtime.unwrap_or_else(|| Arc::new(simulated(config.simulated)));
    let (crm, work) = work::open(config.cluster_name.clone(), store, runtime, clock)
        .await
        .map_err(StartError::Read)?;
    let addr = SocketAddr::new(config.host, config.port);
    let listen = |source| StartError::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;

    let stop = CancellationToken::new();
    let work_stop = CancellationToken::new();
    let app = App::new(crm, config.bookmark_interval, stop.clone())
        .with_tokens(tokens.clone())
        .with_metrics(render_metrics);
    let is_tls = tls.is_some();
    let mut parts = JoinSet::new();
    parts.spawn(work.run(work_stop.clone()));
    if let Some(tokens) = tokens {
        parts.spawn(token::run(tokens, work_stop.clone()));
    }
    if let Some(tls) = &tls {
        parts.spawn(Arc::clone(tls).keep_fresh(work_stop.clone()));
    }
    let accepting = oprc_http::serve(listener, tls, router(app), GRACE, stop.clone());
    let serving = tokio::spawn(supervise(accepting, parts, stop.clone(), work_stop));
    if config.is_exposed {
        tracing::warn!(
            %addr,
            "other machines can call without credentials (OPRC_CRM_ALLOW_ANONYMOUS=true): whoever \
             reaches this address can deploy to, and empty, cluster {}",
            config.cluster_name
        );
    }
    tracing::info!(%addr, cluster = %config.cluster_name, is_tls, "serving");
    Ok(Running { addr, is_tls, stop, serving })
}

/// Serves until `stop`, then ends the parts; ends everything when a part ends by itself.
async fn supervise(
    accepting: impl Future<Output = ()>,
    mut parts: JoinSet<()>,
    stop: CancellationToken,
    work_stop: CancellationToken,
) -> Result<(), Failed> {
    tokio::pin!(accepting);
    let failed = tokio::select! {
        biased;
        () = &mut accepting => None,
        ended = parts.join_next() => {
            tracing::error!("a part of the server has failed");
            stop.cancel();
            accepting.await;
            Some(Failed(ended.and_then(Result::err)))
        }
    };
    work_stop.cancel();
    while let Some(ended) = parts.join_next().await {
        if let Err(err) = ended {
            return Err(Failed(Some(err)));
        }
    }
    failed.map_or(Ok(()), Err)
}

impl Running {
    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL to call it at from this machine.
    #[must_use]
    pub fn url(&self) -> String {
        let ip = match self.addr.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", SocketAddr::new(ip, self.addr.port()))
    }

    /// Ends when the server has ended by itself.
    ///
    /// # Errors
    ///
    /// Says which part failed.
    pub async fn ended(&mut self) -> Result<(), Failed> {
        (&mut self.serving).await.unwrap_or_else(|err| Err(Failed(Some(err))))
    }

    /// Stops it: within ten seconds each request is answered or cut off. The address and the store
    /// are free afterwards.
    ///
    /// # Errors
    ///
    /// When a part of it has failed.
    pub async fn shutdown(mut self) -> Result<(), Failed> {
        self.stop.cancel();
        self.ended().await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn open_store(storage: Storage) -> Result<SharedStore, StartError> {
    match storage {
        Storage::Memory => Ok(Arc::new(MemoryStore::default())),
        Storage::Embedded { data_dir } => {
            embedded::make_folder(&data_dir)
                .map_err(|source| StartError::DataDir { path: data_dir.clone(), source })?;
            Ok(Arc::new(EmbeddedStore::open(data_dir.join(STORE_FILE))?))
        }
    }
}

fn simulated(config: oprc_config::crm::Simulated) -> Simulated {
    Simulated::new(simulated::Options {
        start: config.start,
        stop: config.stop,
        fail_classes: config.fail_classes.into_iter().collect(),
        n_nodes: config.n_nodes,
        availability: config.availability,
    })
}

fn files(tls: ServerTls) -> Files {
    let clients = match tls.clients {
        None => Clients::Anonymous,
        Some(clients) if clients.is_required => Clients::Required(clients.ca_path),
        Some(clients) => Clients::Optional(clients.ca_path),
    };
    Files { cert_path: tls.cert_path, key_path: tls.key_path, clients }
}
