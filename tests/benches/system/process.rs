//! The programs under measure as processes, and what the kernel says of them.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::load::Connection;

/// Longer than anything should take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The kernel's ticks a second; a constant of its interface on every architecture that Rust runs on.
const TICKS: f64 = 100.0;

/// Variables of a process.
pub(crate) type Variables = Vec<(String, String)>;

/// A running program that listens; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Program {
    /// Starts `program` with `variables` and waits until `/readyz` says yes; answers how long that
    /// took too.
    async fn start(program: &str, mut variables: Variables, port: &str) -> (Self, Duration) {
        let addr = free_addr();
        variables.push((port.to_owned(), addr.port().to_string()));
        let path = binary(program);
        let began = Instant::now();
        let mut command = Command::new(&path);
        command.envs(variables).stdin(Stdio::null()).stdout(Stdio::null());
        if env::var_os("OPRC_BENCH_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let child = command
            .spawn()
            .unwrap_or_else(|err| panic!("{} does not start: {err}", path.display()));
        let program = Self { child, addr };
        while !program.is_ready().await {
            assert!(began.elapsed() < PATIENCE, "{} is not ready", path.display());
            sleep(Duration::from_millis(5)).await;
        }
        (program, began.elapsed())
    }

    async fn is_ready(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.addr).await else { return false };
        drop(stream);
        Connection::open(self.addr).await.get("/readyz").await.0 == 200
    }

    /// Starts a Package Manager.
    pub(crate) async fn pm(variables: Variables) -> (Self, Duration) {
        Self::start("oprc-pm", variables, "OPRC_PM_SERVER_PORT").await
    }

    /// Starts a CRM of `cluster` in memory whose units run after 50 ms.
    pub(crate) async fn crm(cluster: &str) -> Self {
        let variables = [
            ("OPRC_CRM_CLUSTER_NAME", cluster),
            ("OPRC_CRM_STORAGE_TYPE", "memory"),
            ("OPRC_CRM_SIMULATED_START_MS", "50"),
            ("OPRC_CRM_LOG_LEVEL", "warn"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::start("oprc-crm", variables.into(), "OPRC_CRM_PORT").await.0
    }

    /// Ends it as an operator would, and waits for it.
    pub(crate) async fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not stop");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Memory that it holds, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it has held so far, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Waits until it no longer works on what it was given.
    pub(crate) async fn until_idle(&self) {
        let began = Instant::now();
        loop {
            let before = self.cpu();
            sleep(Duration::from_millis(300)).await;
            if self.cpu() - before <= Duration::from_millis(30) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "it works on and on");
        }
    }

    /// The sum of the samples of a counter whose line begins with `metric` and contains all `labels`.
    pub(crate) async fn counter(&self, metric: &str, labels: &[&str]) -> f64 {
        let mut connection = Connection::open(self.addr).await;
        let (status, body) = connection.get("/metrics").await;
        assert_eq!(status, 200);
        let text = String::from_utf8_lossy(body);
        let lines = text.lines().filter(|line| line.starts_with(metric));
        let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        // Of none it is zero, and not the minus zero that `sum` begins with.
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .fold(0.0, |sum, it: f64| sum + it)
    }

    /// Waits until the answer to a GET of `path` satisfies `is_so`.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        let mut connection = Connection::open(self.addr).await;
        loop {
            let body = serde_json::from_slice(connection.get(path).await.1).unwrap_or_default();
            if is_so(&body) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{path} is not as it should be: {body}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until `cluster` is connected.
    pub(crate) async fn until_connected(&self, cluster: &str) {
        self.until(&format!("/api/v1/clusters/{cluster}"), |body| {
            body["status"]["connectivity"] == "CONNECTED"
        })
        .await;
    }

    /// Pushes the package that all deployments are of.
    pub(crate) async fn push_package(&self) {
        let mut connection = Connection::open(self.addr).await;
        let (status, body) = connection.post("/api/v1/packages", crate::documents::PACKAGE).await;
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(body));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of a process and its threads.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name may have spaces, so the fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS)
}

/// Where the programs are.
fn binary(program: &str) -> PathBuf {
    let folder = env::var_os("OPRC_TEST_BIN_DIR").map(PathBuf::from).or_else(|| {
        // `target/<profile>/deps/system-…`: programs are one folder up.
        Some(env::current_exe().ok()?.parent()?.parent()?.to_owned())
    });
    folder.unwrap().join(program)
}

/// An address that was free a moment ago.
pub(crate) fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
