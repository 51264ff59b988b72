//! Ways between processes that can be cut as a network is: nothing gets through, nothing is closed,
//! and what was sent meanwhile arrives when the way is mended.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use crate::support::free_port;

const CHUNK_BYTES: usize = 64 << 10;

/// A way that can be cut. Clones are of the same way.
#[derive(Clone, Debug)]
pub(crate) struct Way(Arc<watch::Sender<bool>>);

impl Default for Way {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Way {
    pub(crate) fn cut(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.0.send_replace(false);
    }

    /// Waits until it is open.
    async fn open(&self) {
        // The sender is `self`'s.
        let _ = self.0.subscribe().wait_for(|is_cut| !is_cut).await;
    }
}

/// A proxy of TCP connections, until it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) port: u16,
    _accepting: AbortOnDropHandle<()>,
}

impl Link {
    /// From a port of its own to `upstream`, by `way`.
    pub(crate) async fn start(upstream: SocketAddr, way: &Way) -> Self {
        let way = way.clone();
        Self::start_at(0, upstream, move |_, _| way.clone()).await
    }

    /// From a port of its own to `upstream`, by the way of the caller.
    pub(crate) async fn start_for(upstream: SocketAddr, callers: Vec<(Caller, Way)>) -> Self {
        Self::start_at(0, upstream, move |from, here| way_of(from, here, &callers)).await
    }

    /// From `port` to `upstream`; `way_of` tells the way of each connection by its ends.
    async fn start_at(
        port: u16,
        upstream: SocketAddr,
        way_of: impl Fn(SocketAddr, SocketAddr) -> Way + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, from) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    Some(_) = connections.join_next() => continue,
                };
                let way = way_of(from, listener.local_addr().unwrap());
                // How it ended is for its ends to know.
                connections.spawn(async move { pass_on(stream, upstream, way).await.ok() });
            }
        });
        Self { port, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

async fn pass_on(stream: TcpStream, upstream: SocketAddr, way: Way) -> io::Result<()> {
    way.open().await;
    let upstream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (near_read, near_write) = stream.into_split();
    let (far_read, far_write) = upstream.into_split();
    let there = pump(near_read, far_write, &way);
    let back = pump(far_read, near_write, &way);
    tokio::try_join!(there, back)?;
    Ok(())
}

/// Moves bytes, and the end of them, while the way is open.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: &Way) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut buffer).await;
        way.open().await;
        match read? {
            0 => return to.shutdown().await,
            n_bytes => to.write_all(&buffer[..n_bytes]).await?,
        }
    }
}

/// The proxies between the nodes of an etcd. All nodes are told the same address of each, so who
/// calls is found out by whose the other end of the connection is.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Of each node: where its proxy listens, and where it does itself.
    pub(crate) ports: Vec<(u16, u16)>,
    /// From the first to the second.
    ways: Vec<Vec<Way>>,
    _links: Vec<Link>,
}

impl Peers {
    pub(crate) async fn start(n_nodes: usize) -> Self {
        let node_ports: Vec<u16> = (0..n_nodes).map(|_| free_port()).collect();
        let row = || (0..n_nodes).map(|_| Way::default()).collect();
        let ways: Vec<Vec<Way>> = (0..n_nodes).map(|_| row()).collect();
        let mut ports = Vec::new();
        let mut links = Vec::new();
        for (to, node_port) in node_ports.iter().enumerate() {
            let caller = |(from, port): (usize, u16)| {
                (Caller::listening_to_peers(port), ways[from][to].clone())
            };
            let callers: Vec<_> = node_ports.iter().copied().enumerate().map(caller).collect();
            let way_of = move |from, here| way_of(from, here, &callers);
            let link =
                Link::start_at(free_port(), (Ipv4Addr::LOCALHOST, *node_port).into(), way_of).await;
            ports.push((link.port, *node_port));
            links.push(link);
        }
        Self { ports, ways, _links: links }
    }

    /// Cuts `node` off from the others, and them from it.
    pub(crate) fn cut_off(&self, node: usize) {
        self.of(node).for_each(Way::cut);
    }

    pub(crate) fn mend(&self, node: usize) {
        self.of(node).for_each(Way::mend);
    }

    fn of(&self, node: usize) -> impl Iterator<Item = &Way> {
        let to = self.ways.iter().map(move |row| &row[node]);
        self.ways[node].iter().chain(to)
    }
}

/// A process, known by what is in its arguments or its environment, so that it may be started again.
#[derive(Clone, Debug)]
pub(crate) struct Caller(String);

impl Caller {
    /// The process with this setting.
    pub(crate) fn with(name: &str, value: &str) -> Self {
        Self(format!("{name}={value}\0"))
    }

    /// The etcd node that listens at `port` for the others.
    fn listening_to_peers(port: u16) -> Self {
        Self::with("--listen-peer-urls", &format!("http://127.0.0.1:{port}"))
    }

    fn is_process(&self, process: &Path) -> bool {
        let says = |file| {
            fs::read(process.join(file))
                .is_ok_and(|text| String::from_utf8_lossy(&text).contains(&self.0))
        };
        says("cmdline") || says("environ")
    }
}

/// The way of who has the connection from `from` to `here`; one that is never cut for strangers.
fn way_of(from: SocketAddr, here: SocketAddr, callers: &[(Caller, Way)]) -> Way {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = format!("0100007F:{:04X} 0100007F:{:04X} ", from.port(), here.port());
    let line = table.lines().find(|line| line.contains(&ends));
    let Some(inode) = line.and_then(|line| line.split_whitespace().nth(9)) else {
        return Way::default();
    };
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    for process in processes.map(|process| process.path()) {
        let Some((_, way)) = callers.iter().find(|(caller, _)| caller.is_process(&process)) else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.join("fd")) else { continue };
        let has_socket = |file: fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|name| name.as_os_str() == socket.as_str())
        };
        if files.filter_map(Result::ok).any(has_socket) {
            return way.clone();
        }
    }
    Way::default()
}
