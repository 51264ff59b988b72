//! Connections: bounded in number, in the time that a client may take, and in how they end.
//!
//! Both servers of the workspace serve their router through this, so that a slow, silent or greedy
//! client costs the same little everywhere. It knows nothing of what is served.

mod date;
mod head;
mod seats;
mod stall;
pub mod tls;

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::{
    date::Clock,
    seats::{Held, Seat, Seats},
    stall::Stall,
    tls::{Tls, client::ClientCertificate},
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

/// The most bytes that hyper reads ahead while a head is not complete. Its last read may bring as many
/// again, so [`head::check`] has the last word; without it, white space in a head could be twice
/// this long. hyper also takes 100 headers at the most.
const MAX_READ_AHEAD: usize = head::MAX_BYTES;

const CONNECTIONS_CUT: &str = "oprc_http_connections_cut_total";

/// Between two looks at whether the client certificate of an open connection still holds.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(1);

/// How long what is under way may take on a connection whose client certificate holds no more.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// A connection, as the server knows it: an extension of every request that came on it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The address at its other end.
    pub address: SocketAddr,
    /// Whom the client certificate names that TLS has verified, see [`tls::subject`].
    pub certificate_subject: Option<Arc<str>>,
}

/// What the first byte of a TLS connection is: the type of its first record, a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// What somebody is told who speaks without encryption where TLS is spoken.
const WANTS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 46\r\nconnection: close\r\n\r\nthis port speaks TLS alone: want an https URL\n";

/// Describes this crate's metrics to the recorder in place.
pub fn describe_metrics() {
    metrics::describe_counter!(CONNECTIONS_CUT, "Connections ended by the server, by reason.");
}

fn connection_cut(reason: &'static str) {
    metrics::counter!(CONNECTIONS_CUT, "reason" => reason).increment(1);
}

/// Serves the connections of `listener`, with TLS if `tls` is given, until `stop`; then until
/// what they have under way is answered, for `grace` at the most.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    grace: Duration,
    stop: CancellationToken,
) {
    serve_by(listener, tls, router, grace, stop, SystemTime::now).await;
}

/// As [`serve`], with another clock.
async fn serve_by(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    grace: Duration,
    stop: CancellationToken,
    clock: Clock,
) {
    let seats = Seats::new(MAX_CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        let accepting = async {
            let (stream, address) = listener.accept().await?;
            Ok::<_, io::Error>((stream, address, seats.take().await))
        };
        let (stream, address, seat) = tokio::select! {
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
                ended = connect((stream, address), tls, router, seat, stop, clock) => if let Err(err) = ended {
                    tracing::debug!(error = %err, %address, "a connection broke");
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
    (mut stream, address): (TcpStream, SocketAddr),
    tls: Option<Arc<Tls>>,
    router: Router,
    seat: Seat,
    stop: CancellationToken,
    clock: Clock,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection { address, certificate_subject: None };
    let Some(tls) = tls else {
        return answer(stream, connection, None, router, seat, stop, clock).await;
    };
    let handshake = async {
        if first_byte(&stream).await? != TLS_HANDSHAKE {
            refuse_plain(&mut stream).await?;
            return Err(io::Error::other("not TLS: want an https URL at this port"));
        }
        tls.acceptor().accept(stream).await
    };
    let stream = timeout(HANDSHAKE_TIMEOUT, handshake).await;
    let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let shown = stream.get_ref().1.peer_certificates();
    let certificate = shown.and_then(|chain| ClientCertificate::new(&tls, chain)).map(Arc::new);
    connection.certificate_subject =
        certificate.as_ref().and_then(|certificate| certificate.subject.clone());
    answer(stream, connection, certificate, router, seat, stop, clock).await
}

/// The first byte that the client sends, which stays to be read.
async fn first_byte(stream: &TcpStream) -> io::Result<u8> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let [first] = first;
    Ok(first)
}

/// Says what is wrong to a client that a log here does not reach.
async fn refuse_plain(stream: &mut TcpStream) -> io::Result<()> {
    // What is left unread at the end would reset the connection, and lose the answer with it.
    let _ = stream.read(&mut [0; 4096]).await?;
    stream.write_all(WANTS_TLS).await?;
    stream.shutdown().await
}

/// Answers the requests of one connection until it ends, or until `stop` and the one under way.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    connection: Connection,
    certificate: Option<Arc<ClientCertificate>>,
    router: Router,
    seat: Seat,
    stop: CancellationToken,
    clock: Clock,
) -> io::Result<()> {
    let shown = certificate.clone();
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_READ_AHEAD);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        let (busy, router) = (seat.begin(), router.clone());
        let holds = shown.as_ref().is_none_or(|certificate| certificate.holds());
        async move {
            if !holds {
                // The server closes the connection: the next handshake tells the client why.
                return Err(io::Error::other("the client certificate holds no more"));
            }
            // Sent away at this very moment: nothing of the request is done.
            let Some(busy) = busy else { return Err(io::Error::from(io::ErrorKind::TimedOut)) };
            let mut response = match head::check(&request) {
                Ok(()) => {
                    let Ok(response) = router.oneshot(request).await;
                    response
                }
                Err(refusal) => refusal.into_response(),
            };
            date::set(response.headers_mut(), clock());
            Ok(response.map(|body| Held::new(body, busy)))
        }
    });
    let connection = builder.serve_connection(TokioIo::new(Stall::new(stream)), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = lapse(certificate) => {
            // Watches have no end of their own; a write under way may be answered.
            connection_cut("client_certificate");
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LAST_ANSWER, connection).await;
            return Ok(());
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    served.map_err(io::Error::other)
}

/// Ends when the client certificate of a connection holds no more; never where there is none.
async fn lapse(certificate: Option<Arc<ClientCertificate>>) {
    let Some(certificate) = certificate else { return std::future::pending().await };
    while certificate.holds() {
        sleep(CERTIFICATE_LOOK).await;
    }
}
