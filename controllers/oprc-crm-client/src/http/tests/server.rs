//! A server that does what no HTTP library would.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What the server does once it has read a request's head.
#[derive(Clone, Debug)]
pub(super) enum Behaviour {
    /// Nothing, forever.
    Silent,
    /// Writes it and closes.
    Say(Vec<u8>),
    /// Writes it and resets the connection.
    SayAndReset(Vec<u8>),
    /// Writes the first, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Writes it and says no more.
    SayAndHang(Vec<u8>),
}

pub(super) struct Server {
    port: u16,
    /// The method of each request so far.
    seen: watch::Receiver<Vec<String>>,
    /// How many bytes it got rid of.
    pub(super) n_written: Arc<Mutex<u64>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, seen) = watch::channel(Vec::new());
        let (requests, n_written) = (Arc::new(requests), Arc::new(Mutex::new(0)));
        let counted = n_written.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (behaviour, requests) = (behaviour.clone(), requests.clone());
                tokio::spawn(serve(stream, behaviour, requests, counted.clone()));
            }
        });
        Self { port, seen, n_written, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    /// Waits until there have been `n` requests.
    pub(super) async fn wait_for_requests(&self, n: usize) {
        let mut seen = self.seen.clone();
        let enough = seen.wait_for(|seen| seen.len() >= n);
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, enough).await.unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    behaviour: Behaviour,
    requests: Arc<watch::Sender<Vec<String>>>,
    n_written: Arc<Mutex<u64>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let method = String::from_utf8_lossy(&head).split(' ').next().unwrap().to_owned();
    requests.send_modify(|seen| seen.push(method));
    match behaviour {
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Say(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            // Closing with the request's body unread would reset the connection.
            while stream.read_buf(&mut head).await? > 0 {
                head.clear();
            }
        }
        Behaviour::SayAndReset(bytes) => {
            stream.write_all(&bytes).await?;
            stream.set_zero_linger()?;
        }
        Behaviour::SayAndHang(bytes) => {
            stream.write_all(&bytes).await?;
            std::future::pending().await
        }
        Behaviour::Endless(first, again) => {
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&again).await?;
                *n_written.lock() += again.len() as u64;
            }
        }
    }
    Ok(())
}
