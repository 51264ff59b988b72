//! A real etcd of one or more nodes, for the time of a test.
//!
//! Uses the binary named by `OPRC_TEST_ETCD`, else `etcd` on the `PATH`. The nodes are killed and
//! their data removed on drop. They live in real time: not for tests with a paused clock.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::skip;

/// How long nodes may take to elect a leader and serve.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a start is tried again because another process took one of the ports.
const MAX_STARTS: usize = 5;

/// What etcd to start. `EtcdConfig::default()` is one node without TLS.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// How many nodes; one or three make sense.
    pub n_nodes: usize,
    /// Keeps the data on disk rather than in memory, where there is a file system in memory.
    pub on_disk: bool,
    /// TLS for clients.
    pub tls: Option<ServerTls>,
    /// Further arguments, for example `--quota-backend-bytes=…`.
    pub extra_args: Vec<String>,
    /// The program, where it is another than the one that all tests use.
    pub program: Option<PathBuf>,
    /// Proxies between the nodes, one before each; empty: they speak to each other directly.
    pub peer_proxies: Vec<PeerProxy>,
}

/// A proxy before a node, through which the others reach it.
#[derive(Clone, Copy, Debug)]
pub struct PeerProxy {
    /// Where the proxy listens.
    pub port: u16,
    /// Where the node is to listen.
    pub node_port: u16,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            n_nodes: 1,
            on_disk: false,
            tls: None,
            extra_args: Vec::new(),
            program: None,
            peer_proxies: Vec::new(),
        }
    }
}

/// TLS for clients. Clients without a certificate of `ca` are refused.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The server's certificate, a PEM file.
    pub cert: PathBuf,
    /// Its key, a PEM file.
    pub key: PathBuf,
    /// Who signs the clients' certificates, a PEM file.
    pub client_ca: PathBuf,
}

/// Running nodes.
#[derive(Debug)]
pub struct EtcdProcess {
    config: EtcdConfig,
    dir: TempDir,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    client_port: u16,
    /// Where it listens for the others.
    peer_port: u16,
    /// Where the others find it.
    advertised_port: u16,
    child: Option<Child>,
}

impl EtcdProcess {
    /// Whether there is an etcd to start. Tests that need one skip themselves otherwise, and say so.
    #[must_use]
    pub fn is_available() -> bool {
        let mut command = Command::new(binary());
        let version = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    }

    /// Another, newer etcd, where `OPRC_TEST_NEWER_ETCD` names one; `None`, with a line on standard
    /// error, where it does not.
    #[must_use]
    pub fn newer() -> Option<PathBuf> {
        let named = env::var_os("OPRC_TEST_NEWER_ETCD").map(PathBuf::from);
        if named.is_none() {
            skip("OPRC_TEST_NEWER_ETCD names no newer etcd");
        }
        named
    }

    /// One node; `None`, with a line on standard error, when there is no etcd to start.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn single() -> Option<Self> {
        Self::start_if_available(EtcdConfig::default()).await
    }

    /// As configured; `None`, with a line on standard error, when there is no etcd to start.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_if_available(config: EtcdConfig) -> Option<Self> {
        if Self::is_missing() { None } else { Some(Self::start(config).await) }
    }

    /// Whether there is no etcd to start; then the test is recorded as skipped.
    #[must_use]
    pub fn is_missing() -> bool {
        let is_missing = !Self::is_available();
        if is_missing {
            skip("no etcd on the PATH; name one in OPRC_TEST_ETCD");
        }
        is_missing
    }

    /// Starts the nodes and waits until they serve.
    ///
    /// # Panics
    ///
    /// When they do not: this is for tests.
    pub async fn start(config: EtcdConfig) -> Self {
        for _ in 0..MAX_STARTS {
            let mut etcd = Self::prepare(config.clone());
            for index in 0..etcd.nodes.len() {
                etcd.spawn(index);
            }
            if timeout(START_TIMEOUT, etcd.serve()).await == Ok(true) {
                return etcd;
            }
        }
        panic!("etcd does not start, with {config:?}");
    }

    /// The addresses that clients use, with scheme.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| self.url(node.client_port)).collect()
    }

    /// Kills node `index` as a power cut would (SIGKILL), and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.nodes[index].child.take() {
            // It may have exited by itself; then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts node `index` again, on its data and its ports, and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn restart(&mut self, index: usize) {
        self.kill(index);
        fs::remove_file(self.log(index)).expect("the node has run, so it has a log");
        self.spawn(index);
        let serves = timeout(START_TIMEOUT, self.serve()).await;
        assert!(serves == Ok(true), "etcd does not start again: {}", self.log(index).display());
    }

    /// Kills all nodes at once, as a power cut would, and starts them again on their data.
    ///
    /// # Panics
    ///
    /// When they do not serve again.
    pub async fn restart_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
        for index in 0..self.nodes.len() {
            fs::remove_file(self.log(index)).expect("the node has run, so it has a log");
            self.spawn(index);
        }
        let serve = timeout(START_TIMEOUT, self.serve()).await;
        assert!(serve == Ok(true), "etcd does not start again: {}", self.dir.path().display());
    }

    /// Writes a snapshot of node 0 to `file`, with the `etcdctl` beside the configured program.
    ///
    /// # Panics
    ///
    /// When there is none, or it fails.
    pub fn save_snapshot(&self, file: &Path) {
        let endpoint = self.url(self.nodes[0].client_port);
        let mut command = Command::new(self.tool("etcdctl"));
        command.arg(format!("--endpoints={endpoint}")).args(["snapshot", "save"]).arg(file);
        succeed(&mut command);
    }

    /// Replaces the data of the only node by the snapshot in `file`, with the `etcdutl` beside the
    /// configured program, and starts the node again.
    ///
    /// # Panics
    ///
    /// When there is no such program, it fails, or the node does not serve again.
    pub async fn restore_snapshot(&mut self, file: &Path) {
        self.kill(0);
        let data = self.dir.path().join("node0");
        fs::remove_dir_all(&data).expect("the node's data");
        let peer = format!("http://127.0.0.1:{}", self.nodes[0].advertised_port);
        let mut command = Command::new(self.tool("etcdutl"));
        command
            .args(["snapshot", "restore"])
            .arg(file)
            .arg(format!("--data-dir={}", data.display()))
            .arg("--name=node0")
            .arg(format!("--initial-cluster=node0={peer}"))
            .arg(format!("--initial-cluster-token={}", self.dir.path().display()))
            .arg(format!("--initial-advertise-peer-urls={peer}"));
        succeed(&mut command);
        self.restart(0).await;
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.config.program.clone().unwrap_or_else(binary).with_file_name(name)
    }

    /// Stops node `index` where it stands (SIGSTOP): connections stay, answers do not come.
    ///
    /// On a busy machine a thread may run on for a while: it is waited for.
    ///
    /// # Panics
    ///
    /// When a thread of it still runs after ten seconds.
    #[expect(clippy::disallowed_methods, reason = "real time passes, and the wait is for a moment")]
    pub fn pause(&self, index: usize) {
        self.signal(index, "STOP");
        let Some(child) = &self.nodes[index].child else { return };
        let began = Instant::now();
        while has_running_threads(child.id()) {
            assert!(began.elapsed() < Duration::from_secs(10), "etcd does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets node `index` go on (SIGCONT).
    pub fn resume(&self, index: usize) {
        self.signal(index, "CONT");
    }

    fn prepare(config: EtcdConfig) -> Self {
        let shm = Path::new("/dev/shm");
        let dir = match config.on_disk || !shm.is_dir() {
            true => TempDir::with_prefix("oprc-etcd-"),
            false => TempDir::with_prefix_in("oprc-etcd-", shm),
        };
        let ports = free_ports(2 * config.n_nodes);
        let node = |(index, ports): (usize, &[u16])| {
            let direct = PeerProxy { port: ports[1], node_port: ports[1] };
            let proxy = config.peer_proxies.get(index).copied().unwrap_or(direct);
            let (peer_port, advertised_port) = (proxy.node_port, proxy.port);
            Node { client_port: ports[0], peer_port, advertised_port, child: None }
        };
        let nodes = ports.chunks_exact(2).enumerate().map(node).collect();
        Self { config, dir: dir.expect("a temporary directory"), nodes }
    }

    fn url(&self, port: u16) -> String {
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    fn log(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("node{index}.log"))
    }

    fn spawn(&mut self, index: usize) {
        let peer_url = |port: u16| format!("http://127.0.0.1:{port}");
        let peers = self.nodes.iter().enumerate();
        let peer =
            |(i, node): (usize, &Node)| format!("node{i}={}", peer_url(node.advertised_port));
        let cluster: Vec<String> = peers.map(peer).collect();
        let node = &self.nodes[index];
        let data = self.dir.path().join(format!("node{index}"));
        let program = self.config.program.clone().unwrap_or_else(binary);
        let mut command = Command::new(program);
        command
            .arg(format!("--name=node{index}"))
            .arg(format!("--data-dir={}", data.display()))
            .arg(format!("--listen-client-urls={}", self.url(node.client_port)))
            .arg(format!("--advertise-client-urls={}", self.url(node.client_port)))
            .arg(format!("--listen-peer-urls={}", peer_url(node.peer_port)))
            .arg(format!("--initial-advertise-peer-urls={}", peer_url(node.advertised_port)))
            .arg(format!("--initial-cluster={}", cluster.join(",")))
            .arg(format!("--initial-cluster-token={}", self.dir.path().display()))
            .args(["--logger=zap", "--heartbeat-interval=50", "--election-timeout=500"])
            .args(&self.config.extra_args);
        if let Some(tls) = &self.config.tls {
            command
                .arg(format!("--cert-file={}", tls.cert.display()))
                .arg(format!("--key-file={}", tls.key.display()))
                .arg(format!("--trusted-ca-file={}", tls.client_ca.display()))
                .arg("--client-cert-auth");
        }
        let log = fs::File::create(self.log(index)).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes[index].child = Some(command.spawn().expect("etcd is there"));
    }

    /// Waits until every running node serves; false when one has exited.
    async fn serve(&mut self) -> bool {
        for index in 0..self.nodes.len() {
            let log = self.log(index);
            let Some(child) = &mut self.nodes[index].child else { continue };
            loop {
                if !matches!(child.try_wait(), Ok(None)) {
                    return false;
                }
                // A node says so once it has joined a quorum.
                let lines = fs::read(&log).unwrap_or_default();
                if String::from_utf8_lossy(&lines).contains("serving client traffic") {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        true
    }

    fn signal(&self, index: usize, signal: &str) {
        let child = self.nodes[index].child.as_ref().expect("the node runs");
        let kill = format!("kill -{signal} {}", child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill} failed");
    }
}

impl Drop for EtcdProcess {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            self.kill(index);
        }
    }
}

/// Runs `command` to its end.
fn succeed(command: &mut Command) {
    let output = command.output().expect("the tool is there");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}

/// The etcd to start.
fn binary() -> PathBuf {
    // Not a setting of the product, so not one of the configuration crate's.
    env::var_os("OPRC_TEST_ETCD").map_or_else(|| PathBuf::from("etcd"), PathBuf::from)
}

/// Ports that were free a moment ago.
fn free_ports(n_ports: usize) -> Vec<u16> {
    let listen = |_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    // All at once, so that they differ.
    let listeners: Vec<TcpListener> = (0..n_ports).map(listen).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    listeners.iter().map(port).collect()
}

/// Whether a thread of the process is not stopped, as far as the system tells.
fn has_running_threads(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name, in brackets, may hold anything; the state follows it.
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']));
        state == Some(false)
    })
}
