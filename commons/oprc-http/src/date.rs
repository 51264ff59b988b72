//! The `Date` header, from the clock as it is now.
//!
//! hyper keeps the header and renews it when the clock passes the next second: after the clock was set
//! back, that takes as long as it went back.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};

/// Tells the time.
pub(crate) type Clock = fn() -> SystemTime;

/// Sets the header to `now`; hyper adds none where there is one.
pub(crate) fn set(headers: &mut HeaderMap, now: SystemTime) {
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        headers.insert(header::DATE, date);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use axum::Router;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tokio_util::sync::CancellationToken;

    use super::*;

    static NOW_SECS: AtomicU64 = AtomicU64::new(1_800_000_000);

    fn clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECS.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn date_follows_a_clock_that_was_set_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let grace = Duration::from_secs(1);
        let served = crate::serve_by(listener, None, Router::new(), grace, stop.clone(), clock);
        let server = tokio::spawn(served);
        let mut client = TcpStream::connect(addr).await.unwrap();
        for secs in [1_800_000_000, 1_700_000_000, 1_900_000_000, 1_600_000_000] {
            NOW_SECS.store(secs, Ordering::SeqCst);
            client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
                assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
            }
            let answer = String::from_utf8(answer).unwrap().to_lowercase();
            let date = httpdate::fmt_http_date(clock()).to_lowercase();
            assert_eq!(answer.matches("date:").count(), 1, "{answer}");
            assert!(answer.contains(&format!("date: {date}\r\n")), "{answer}: want {date}");
        }
        stop.cancel();
        server.await.unwrap();
    }
}
