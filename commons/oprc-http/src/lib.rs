//! Connections: bounded in number, in the time that a client may take, and in how they end.
//!
//! Both servers of the workspace serve their router through this, so that a slow, silent or greedy
//! client costs the same little everywhere. It knows nothing of what is served.

mod stall;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::stall::Stall;

/// The most connections at once; who comes later waits to be accepted.
const MAX_CONNECTIONS: usize = 2_048;

/// How long a client may take for the head of a request, the pause before it included. Longer than
/// the 90 s for which common clients keep a connection, so that it is they who close it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted: most often there are too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The most bytes of a request's head; a larger one is answered 431. hyper also takes 100 headers
/// at the most.
const MAX_HEAD_BYTES: usize = 64 * 1024;

const CONNECTIONS_CUT: &str = "oprc_http_connections_cut_total";

/// Makes what accepts a TLS connection now, so that certificates can be replaced while it serves.
pub type Acceptor = Arc<dyn Fn() -> TlsAcceptor + Send + Sync>;

/// Describes this crate's metrics to the recorder in place.
pub fn describe_metrics() {
    metrics::describe_counter!(CONNECTIONS_CUT, "Connections ended by the server, by reason.");
}

fn connection_cut(reason: &'static str) {
    metrics::counter!(CONNECTIONS_CUT, "reason" => reason).increment(1);
}

/// Serves the connections of `listener`, with TLS if there is an acceptor, until `stop`; then until
/// what they have under way is answered, for `grace` at the most.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Acceptor>,
    router: Router,
    grace: Duration,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepting = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            (permit, accepted) = accepting => match accepted {
                Ok((stream, _)) => (permit, stream),
                Err(err) => {
                    tracing::warn!(error = %err, "a connection cannot be accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            if let Err(err) = connect(stream, tls, router, stop).await {
                tracing::debug!(error = %err, "a connection broke");
            }
            drop(permit);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(grace, all).await.is_err() {
        connection_cut("shutdown");
        connections.shutdown().await;
    }
}

async fn connect(
    stream: TcpStream,
    tls: Option<Acceptor>,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return answer(stream, router, stop).await };
    let stream = timeout(HANDSHAKE_TIMEOUT, tls().accept(stream)).await;
    answer(stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??, router, stop).await
}

/// Answers the requests of one connection until it ends, or until `stop` and the one under way.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(Stall::new(stream)), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(io::Error::other)
}
