//! Connections: bounded in number, in the time that a client may take, and in how they end.
//!
//! Both servers of the workspace serve their router through this, so that a slow, silent or greedy
//! client costs the same little everywhere. It knows nothing of what is served.

mod seats;
mod stall;

use std::{io, sync::Arc, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::{
    seats::{Held, Seat, Seats},
    stall::Stall,
};

/// The most connections at once. Who comes later gets the place of one that waits for nothing, or
/// waits while there is none.
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
    let seats = Seats::new(MAX_CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        let accepting = async {
            let (stream, _) = listener.accept().await?;
            Ok::<_, io::Error>((stream, seats.take().await))
        };
        let (stream, seat) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accepting => match accepted {
                Ok(accepted) => accepted,
                Err(err) => {
                    tracing::warn!(error = %err, "a connection cannot be accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        while connections.try_join_next().is_some() {}
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            let sent_away = seat.sent_away();
            tokio::select! {
                biased;
                () = sent_away.cancelled() => (),
                ended = connect(stream, tls, router, seat, stop) => if let Err(err) = ended {
                    tracing::debug!(error = %err, "a connection broke");
                }
            }
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
    seat: Seat,
    stop: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return answer(stream, router, seat, stop).await };
    let stream = timeout(HANDSHAKE_TIMEOUT, tls().accept(stream)).await;
    let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    answer(stream, router, seat, stop).await
}

/// Answers the requests of one connection until it ends, or until `stop` and the one under way.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    seat: Seat,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES);
    let service = service_fn(move |request: Request<Incoming>| {
        let (busy, router) = (seat.begin(), router.clone());
        async move {
            // Sent away at this very moment: nothing of the request is done.
            let Some(busy) = busy else { return Err(io::Error::from(io::ErrorKind::TimedOut)) };
            let Ok(response) = router.oneshot(request).await;
            Ok(response.map(|body| Held::new(body, busy)))
        }
    });
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
