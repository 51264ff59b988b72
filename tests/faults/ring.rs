//! The whole system as processes, with ways between them that can be cut.

use std::{
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use etcd_client::{Client, ConnectOptions};
use oprc_cp_storage::testing::{EtcdConfig, EtcdProcess, PeerProxy};
use tempfile::TempDir;

use super::{
    containers::Containers,
    load::CLUSTERS,
    network::{Caller, Link, Peers, Way},
};
use crate::support::{
    self, Api, Backend, PATIENCE, Process, eventually, eventually_within, free_port, world::package,
};

/// How long things are, in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long clients are at work.
    pub(crate) load: Duration,
    /// How long one outage lasts.
    pub(crate) outage: Duration,
    /// The time to live of a leader's lease.
    pub(crate) lease: Duration,
    /// How long nothing must move in the end.
    pub(crate) quiet: Duration,
}

impl Pace {
    /// Short; with `OPRC_TEST_FAULTS_SECS`, so many seconds of load and the product's own lease.
    pub(crate) fn of_this_run() -> Self {
        let secs = Duration::from_secs;
        let Some(given) = env::var_os("OPRC_TEST_FAULTS_SECS") else {
            return Self { load: secs(2), outage: secs(1), lease: secs(2), quiet: secs(1) };
        };
        let given = given.to_str().and_then(|given| given.parse().ok());
        let load = secs(given.expect("OPRC_TEST_FAULTS_SECS is a number"));
        let outage = (load / 6).clamp(secs(1), secs(10));
        Self { load, outage, lease: secs(5), quiet: secs(6) }
    }
}

/// What a scenario stands on.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) backend: Backend,
    /// The etcd to use, where it is not the usual one.
    pub(crate) etcd: Option<PathBuf>,
    pub(crate) etcd_args: Vec<String>,
    /// A library that lets a file say how late it is for the first replica.
    pub(crate) clock: Option<PathBuf>,
    /// What the embedded store is on.
    pub(crate) disk: Disk,
    /// Where etcd runs.
    pub(crate) place: Place,
}

/// Where etcd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Processes,
    Containers,
}

/// The nodes of etcd.
pub(crate) enum Nodes {
    Processes(Box<EtcdProcess>, Peers),
    Containers(Containers),
}

/// What a file of the embedded store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    Usual,
    /// A file system of its own that is soon full.
    Small,
}

/// A small file system, unmounted on drop.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// On `folder`; `None` when this process may not.
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder).stderr(Stdio::null());
        let is_mounted = mount.status().is_ok_and(|status| status.success());
        is_mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: files in it may still be open when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A Package Manager with its ways to everything that it calls.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) process: Process,
    pub(crate) api: Api,
    /// To all etcd nodes.
    pub(crate) to_etcd: Way,
    /// To all CRMs.
    pub(crate) to_crms: Way,
    name: String,
    settings: Vec<(String, String)>,
    /// To each etcd node. To the CRMs all replicas have the same, as clusters are registered in the
    /// store with their addresses.
    _links: Vec<Link>,
}

/// A CRM with its data in a folder.
#[derive(Debug)]
pub(crate) struct Crm {
    pub(crate) name: String,
    pub(crate) api: Api,
    process: Process,
    settings: Vec<(String, String)>,
    folder: PathBuf,
    port: u16,
}

/// Everything that one scenario has.
pub(crate) struct Ring {
    // Dropped in this order: first who asks, then who is asked.
    pub(crate) replicas: Vec<Replica>,
    pub(crate) crms: Vec<Crm>,
    etcd: Option<Nodes>,
    pub(crate) pace: Pace,
    /// Where the embedded store is to be full.
    disk: Option<SmallDisk>,
    pub(crate) folder: TempDir,
    /// To each CRM, in the order of clusters.
    links: Vec<Link>,
}

const N_NODES: usize = 3;

impl Ring {
    /// Three etcd nodes, or none, two CRMs, and two replicas, or one; all are ready.
    pub(crate) async fn start(setup: &Setup) -> Self {
        let pace = Pace::of_this_run();
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() }.unwrap();
        let etcd = match setup.backend {
            Backend::Embedded => None,
            Backend::Etcd => Some(Nodes::start(setup).await),
        };
        let crms = CLUSTERS.iter().map(|name| Crm::start(name, folder.path())).collect();
        let (replicas, links) = (Vec::new(), Vec::new());
        let disk = match setup.disk {
            Disk::Usual => None,
            Disk::Small => {
                let data = folder.path().join("small");
                fs::create_dir(&data).unwrap();
                Some(SmallDisk::mount(&data).expect("it was mounted before"))
            }
        };
        let mut ring = Self { replicas, crms, etcd, pace, disk, folder, links };
        for crm in &ring.crms {
            crm.is_ready().await;
        }
        if ring.is_on_etcd() {
            ring.etcd_leader(None).await;
        }
        let n_replicas = if ring.is_on_etcd() { 2 } else { 1 };
        let replicas: Vec<_> = (0..n_replicas).map(|_| (free_port(), Way::default())).collect();
        for crm in &ring.crms {
            let caller = |(port, to_crms): &(u16, Way)| {
                (Caller::with("OPRC_PM_SERVER_PORT", &port.to_string()), to_crms.clone())
            };
            let link = Link::start_for(crm.address(), replicas.iter().map(caller).collect()).await;
            ring.links.push(link);
        }
        for (index, (port, to_crms)) in replicas.into_iter().enumerate() {
            ring.add_replica(index, port, to_crms, setup).await;
            ring.is_ready(index).await;
        }
        let answer = ring.replicas[0].api.put("/api/v1/packages/shop", &package("1.0.0")).await;
        assert!(answer.status.is_success(), "{answer:?}");
        ring
    }

    async fn add_replica(&mut self, index: usize, port: u16, to_crms: Way, setup: &Setup) {
        let to_etcd = Way::default();
        let name = format!("pm-{index}");
        let mut links = Vec::new();
        let mut settings = vec![
            ("OPRC_PM_SERVER_PORT".to_owned(), port.to_string()),
            ("OPRC_PM_LOG_FORMAT".to_owned(), "text".to_owned()),
            ("OPRC_PM_LEADER_TTL_SECS".to_owned(), self.pace.lease.as_secs().to_string()),
        ];
        let mut set = |name: &str, value: String| settings.push((name.to_owned(), value));
        if let Some(nodes) = &self.etcd {
            let mut urls = Vec::new();
            for endpoint in nodes.endpoints() {
                let node = endpoint.trim_start_matches("http://").parse().unwrap();
                let link = Link::start(node, &to_etcd).await;
                urls.push(format!("http://127.0.0.1:{}", link.port));
                links.push(link);
            }
            set("OPRC_PM_STORAGE_TYPE", "etcd".to_owned());
            set("OPRC_PM_ETCD_ENDPOINTS", urls.join(","));
            set("OPRC_PM_ETCD_TIMEOUT_SECS", "2".to_owned());
        } else {
            let data = match &self.disk {
                None => self.folder.path().join(&name),
                Some(disk) => disk.0.clone(),
            };
            set("OPRC_PM_DATA_DIR", data.to_str().unwrap().to_owned());
        }
        for (crm, link) in self.crms.iter().zip(&self.links) {
            let id = crm.name.to_uppercase().replace('-', "_");
            set(&format!("OPRC_PM_CRM_{id}_URL"), format!("http://127.0.0.1:{}", link.port));
            set(&format!("OPRC_PM_CRM_{id}_TIMEOUT_SECS"), "2".to_owned());
        }
        if let (0, Some(library)) = (index, &setup.clock) {
            self.set_clock("+0");
            set("LD_PRELOAD", library.to_str().unwrap().to_owned());
            set("FAKETIME_TIMESTAMP_FILE", self.clock().to_str().unwrap().to_owned());
            set("FAKETIME_NO_CACHE", "1".to_owned());
            // A clock that is set does not touch the one that only counts.
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned());
        }
        let process = Process::start("oprc-pm", &settings, &self.log(&name));
        let api = Api::new(format!("http://127.0.0.1:{port}"));
        let replica = Replica { process, api, to_etcd, to_crms, name, settings, _links: links };
        self.replicas.push(replica);
    }

    /// Leaves no room on the small disk; answers the file to remove for more.
    pub(crate) fn fill_disk(&self) -> PathBuf {
        let disk = self.disk.as_ref().expect("a scenario on a small disk");
        let ballast = disk.0.join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        ballast
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn clock(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// Sets the clock of the first replica off by `offset`, such as `+7h`.
    pub(crate) fn set_clock(&self, offset: &str) {
        fs::write(self.clock(), format!("{offset}\n")).unwrap();
    }

    pub(crate) async fn is_ready(&self, index: usize) {
        let api = &self.replicas[index].api;
        eventually("ready", || api.is_ok("/readyz")).await;
    }

    /// Starts replica `index` again, with the same settings.
    pub(crate) fn restart(&mut self, index: usize) {
        let log = self.log(&self.replicas[index].name);
        let replica = &mut self.replicas[index];
        replica.process.kill();
        replica.process = Process::start("oprc-pm", &replica.settings, &log);
    }

    /// Whether the store is an etcd.
    pub(crate) fn is_on_etcd(&self) -> bool {
        self.etcd.is_some()
    }

    /// The nodes of etcd as processes.
    pub(crate) fn nodes(&mut self) -> &mut EtcdProcess {
        let Some(Nodes::Processes(etcd, _)) = &mut self.etcd else {
            panic!("a scenario on an etcd of processes");
        };
        etcd
    }

    /// Cuts an etcd node off from the others; clients still reach it.
    pub(crate) fn cut_off(&self, node: usize) {
        match self.etcd.as_ref().expect("a scenario on etcd") {
            Nodes::Processes(_, peers) => peers.cut_off(node),
            Nodes::Containers(containers) => containers.cut_off(node),
        }
    }

    pub(crate) fn mend(&self, node: usize) {
        match self.etcd.as_ref().expect("a scenario on etcd") {
            Nodes::Processes(_, peers) => peers.mend(node),
            Nodes::Containers(containers) => containers.mend(node),
        }
    }

    /// A client of one node that soon gives up on it.
    pub(crate) async fn node_client(&self, node: usize) -> Result<Client, etcd_client::Error> {
        self.client(node, Duration::from_secs(1)).await
    }

    /// A client of one node that runs, for an operator, who has time.
    pub(crate) async fn operator(&self, node: usize) -> Client {
        self.client(node, PATIENCE).await.unwrap()
    }

    async fn client(&self, node: usize, limit: Duration) -> Result<Client, etcd_client::Error> {
        let endpoints = self.etcd.as_ref().expect("a scenario on etcd").endpoints();
        let options = ConnectOptions::new().with_connect_timeout(limit).with_timeout(limit);
        Client::connect(&endpoints[node..=node], Some(options)).await
    }

    /// The node that leads according to a node that can be reached and says so of itself, other
    /// than `except`.
    pub(crate) async fn etcd_leader(&self, except: Option<usize>) -> usize {
        eventually("a leader of etcd", || async {
            for node in (0..N_NODES).filter(|node| Some(*node) != except) {
                let Ok(mut client) = self.node_client(node).await else { continue };
                let Ok(status) = client.status().await else { continue };
                if status.header().is_some_and(|header| header.member_id() == status.leader()) {
                    return Ok(node);
                }
            }
            Err("nobody leads")
        })
        .await
    }

    /// The replica that leads, and its term; waits until one of a later term than `after` does.
    pub(crate) async fn leader_after(&self, after: i64) -> (usize, i64) {
        // What is left of the last lease, one more for good measure, and time to start.
        let limit = self.pace.lease * 2 + Duration::from_secs(20);
        let etcd = self.operator(0).await;
        eventually_within(limit, "a replica leads", || {
            let mut etcd = etcd.clone();
            async move {
                let apis = self.replicas.iter().map(|replica| &replica.api);
                let found = support::leader(&mut etcd, apis).await;
                let found = found.map_err(|err| err.to_string())?;
                found.filter(|(_, term)| *term > after).ok_or_else(|| format!("{found:?}"))
            }
        })
        .await
    }

    /// The version of etcd, or `embedded`.
    pub(crate) async fn store(&self) -> String {
        if self.etcd.is_none() {
            return "embedded".to_owned();
        }
        let status = self.operator(0).await.status().await.unwrap();
        format!("etcd {}", status.version())
    }
}

impl Nodes {
    async fn start(setup: &Setup) -> Self {
        if setup.place == Place::Containers {
            return Self::Containers(Containers::start(N_NODES).await);
        }
        let peers = Peers::start(N_NODES).await;
        let proxy = |&(port, node_port): &(u16, u16)| PeerProxy { port, node_port };
        let config = EtcdConfig {
            n_nodes: N_NODES,
            extra_args: setup.etcd_args.clone(),
            program: setup.etcd.clone(),
            peer_proxies: peers.ports.iter().map(proxy).collect(),
            ..EtcdConfig::default()
        };
        Self::Processes(Box::new(EtcdProcess::start(config).await), peers)
    }

    fn endpoints(&self) -> Vec<String> {
        match self {
            Self::Processes(etcd, _) => etcd.endpoints(),
            Self::Containers(containers) => containers.endpoints.clone(),
        }
    }
}

impl Crm {
    fn start(name: &str, folder: &Path) -> Self {
        let (port, folder) = (free_port(), folder.join(name));
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let settings = vec![
            set("OPRC_CRM_CLUSTER_NAME", name),
            set("OPRC_CRM_PORT", &port.to_string()),
            set("OPRC_CRM_DATA_DIR", folder.to_str().unwrap()),
            set("OPRC_CRM_LOG_FORMAT", "text"),
            set("OPRC_CRM_BOOKMARK_SECS", "1"),
            set("OPRC_CRM_SIMULATED_START_MS", "50"),
            set("OPRC_CRM_SIMULATED_STOP_MS", "50"),
        ];
        let process = Process::start("oprc-crm", &settings, &folder.with_extension("log"));
        let api = Api::new(format!("http://127.0.0.1:{port}"));
        Self { name: name.to_owned(), api, process, settings, folder, port }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Forgets all that it held; it must have been killed.
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        let log = self.folder.with_extension("log");
        self.process = Process::start("oprc-crm", &self.settings, &log);
        self.is_ready().await;
    }

    async fn is_ready(&self) {
        eventually("ready", || self.api.is_ok("/healthz")).await;
    }
}
