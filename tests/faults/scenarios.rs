//! The list of scenarios, and what each goes through.

use std::{collections::BTreeSet, env, fs, io::Write as _, path::PathBuf, time::Duration};

use futures::future::BoxFuture;
use oprc_cp_storage::testing::{EtcdProcess, skip};
use tempfile::TempDir;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    containers::Containers,
    converged,
    history::{self, Call, Operation, Reply},
    load,
    ring::{Disk, Place, Ring, Setup, SmallDisk},
    strikes,
};
use crate::support::{Backend, eventually_within};

/// Scenarios at once. More would measure the machine.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The longest time to converge after a fault.
const MAX_RECOVERY: Duration = Duration::from_secs(60);

/// A fault that goes on until a time, or a little longer, to be whole.
type Strike = for<'r> fn(&'r mut Ring, Instant) -> BoxFuture<'r, ()>;

/// Makes a test of each scenario: its strike, what it stands on.
macro_rules! scenarios {
    ($($name:ident: $setup:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run(stringify!($name), $setup, |ring, until| Box::pin(strikes::$name(ring, until))).await;
        })*
    };
}

scenarios! {
    etcd_leader_killed: etcd();
    etcd_leader_paused: etcd();
    etcd_nodes_cut_off: etcd();
    etcd_containers_cut_off: containers();
    etcd_restarted_whole: etcd();
    etcd_compacted_and_defragmented: etcd();
    etcd_filled: Some(Setup { etcd_args: vec![strikes::QUOTA_ARG.to_owned()], ..usual() });
    leading_replica_killed: etcd();
    leading_replica_paused: etcd();
    leading_replica_cut_off_from_etcd: etcd();
    leading_replica_cut_off_from_crms: etcd();
    crms_killed_and_wiped: etcd();
    clock_set_off_by_hours: clock();
    embedded_replica_killed: embedded();
    embedded_disk_filled: small_disk();
}

/// Some of them on a newer etcd, where there is one.
mod newer_etcd {
    use super::{newer, run, strikes};

    scenarios! {
        etcd_leader_killed: newer();
        etcd_nodes_cut_off: newer();
    }
}

pub(crate) fn usual() -> Setup {
    Setup {
        backend: Backend::Etcd,
        etcd: None,
        etcd_args: Vec::new(),
        clock: None,
        disk: Disk::Usual,
        place: Place::Processes,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the setups that may not be there")]
fn etcd() -> Option<Setup> {
    Some(usual())
}

#[expect(clippy::unnecessary_wraps, reason = "as the setups that may not be there")]
fn embedded() -> Option<Setup> {
    Some(Setup { backend: Backend::Embedded, ..usual() })
}

/// In containers, where there is a Docker.
fn containers() -> Option<Setup> {
    if !Containers::is_available() {
        skip("no Docker, or no image oprc-test/etcd; `cargo xtask images` makes one");
        return None;
    }
    Some(Setup { place: Place::Containers, ..usual() })
}

/// On a file system of its own, where this process may mount one.
fn small_disk() -> Option<Setup> {
    let folder = TempDir::new().unwrap();
    if SmallDisk::mount(folder.path()).is_none() {
        skip("this process may not mount a file system");
        return None;
    }
    Some(Setup { backend: Backend::Embedded, disk: Disk::Small, ..usual() })
}

fn newer() -> Option<Setup> {
    Some(Setup { etcd: Some(EtcdProcess::newer()?), ..usual() })
}

/// With the library that `OPRC_TEST_FAKETIME` names.
fn clock() -> Option<Setup> {
    let library = env::var_os("OPRC_TEST_FAKETIME").map(PathBuf::from);
    if library.is_none() {
        skip("OPRC_TEST_FAKETIME names no libfaketime");
    }
    Some(Setup { clock: Some(library?), ..usual() })
}

async fn run(name: &str, setup: Option<Setup>, strike: Strike) {
    let Some(setup) = setup else { return };
    let is_usual = setup.backend == Backend::Etcd && setup.place == Place::Processes;
    if is_usual && setup.etcd.is_none() && EtcdProcess::is_missing() {
        return;
    }
    let _turn = TURNS.acquire().await.unwrap();
    let mut ring = Ring::start(&setup).await;
    converges(&ring).await;
    let apis: Vec<_> = ring.replicas.iter().map(|replica| replica.api.clone()).collect();
    let began = Instant::now();
    let until = began + ring.pace.load;
    let stop = CancellationToken::new();
    let clients = tokio::spawn(load::run(apis, 1, stop.clone()));
    // Something is there when it strikes.
    sleep(ring.pace.load / 10).await;
    strike(&mut ring, until).await;
    let mended = Instant::now();
    stop.cancel();
    let mut operations = clients.await.unwrap();
    converges(&ring).await;
    let recovery = mended.elapsed();
    converged::quiet(&ring).await;
    let report = Report::new(name, ring.store().await, began, recovery, &operations);
    operations.extend(read_all(&ring).await);
    if let Err(reason) = history::check(&operations) {
        panic!("{name}: {reason}");
    }
    report.tell();
}

async fn converges(ring: &Ring) {
    eventually_within(MAX_RECOVERY, "converged", || converged::look(ring)).await;
}

/// Reads every document from every replica: part of the history, so that a lost write is noticed.
async fn read_all(ring: &Ring) -> Vec<Operation> {
    let mut operations = Vec::new();
    for replica in &ring.replicas {
        for key in load::keys() {
            let operation = load::call(&replica.api, &key, Call::Read).await;
            assert_ne!(operation.reply, Reply::NotDone, "a read fails when all is well");
            operations.push(operation);
        }
    }
    operations
}

/// A row of the table.
struct Report<'a> {
    name: &'a str,
    store: String,
    recovery: Duration,
    /// The longest time in which no creation or change was acknowledged, while clients were at work.
    longest_gap: Duration,
    n_operations: usize,
    n_acknowledged: usize,
    n_unknown: usize,
}

impl<'a> Report<'a> {
    fn new(
        name: &'a str,
        store: String,
        began: Instant,
        recovery: Duration,
        operations: &[Operation],
    ) -> Self {
        // A push of the same again is acknowledged without a write.
        let mut tags = BTreeSet::new();
        let is_new = |operation: &&Operation| operation.tag().is_some_and(|tag| tags.insert(tag));
        let mut in_time: Vec<&Operation> = operations.iter().collect();
        in_time.sort_by_key(|operation| operation.returned);
        let acknowledged: Vec<Instant> =
            in_time.into_iter().filter(is_new).map(|operation| operation.returned).collect();
        let n_acknowledged = acknowledged.len();
        let ended = operations.iter().map(|operation| operation.returned).max().unwrap_or(began);
        let times: Vec<Instant> = [began].into_iter().chain(acknowledged).chain([ended]).collect();
        let longest_gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let is_unknown = |operation: &&Operation| operation.reply == Reply::Unknown;
        let n_unknown = operations.iter().filter(is_unknown).count();
        assert!(n_acknowledged > 0, "{name}: no write was ever acknowledged");
        let n_operations = operations.len();
        Self { name, store, recovery, longest_gap, n_operations, n_acknowledged, n_unknown }
    }

    /// On standard error, and as a row in the file that `OPRC_TEST_FAULTS_TABLE` names.
    fn tell(&self) {
        let row = format!(
            "| `{}` | {} | {:.1} | {:.1} | {} | {} | {} |\n",
            self.name,
            self.store,
            self.longest_gap.as_secs_f64(),
            self.recovery.as_secs_f64(),
            self.n_operations,
            self.n_acknowledged,
            self.n_unknown
        );
        eprint!("{row}");
        if let Some(table) = env::var_os("OPRC_TEST_FAULTS_TABLE") {
            let mut table = fs::File::options().append(true).create(true).open(table).unwrap();
            table.write_all(row.as_bytes()).unwrap();
        }
    }
}
