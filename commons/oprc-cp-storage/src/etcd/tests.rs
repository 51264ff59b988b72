//! The suite on a real etcd, and what only etcd can do to us.

mod health;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, PermissionType, TlsOptions};
use futures::{FutureExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::{EtcdOptions, EtcdStore, Password, Secret};
use crate::{
    Check, Error, Precondition, Revision, SharedStore, Txn, Watch,
    testing::{
        EtcdConfig, EtcdProcess, ServerTls,
        conformance::{Backend, check_all, create, delete, list_all, next_changes, put, txn},
    },
};

/// How long a store may need to recover after a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store whose calls end after a second.
async fn hasty(etcd: &EtcdProcess) -> SharedStore {
    let mut options = EtcdOptions::new(etcd.endpoints(), "/oaas/pm");
    options.timeout = Duration::from_secs(1);
    Arc::new(EtcdStore::connect(options).await.unwrap())
}

async fn three() -> Option<EtcdProcess> {
    EtcdProcess::start_if_available(EtcdConfig { n_nodes: 3, ..EtcdConfig::default() }).await
}

/// Writes `key` until that is acknowledged, as a client would: a write of which nothing is known is
/// looked for before it is tried again.
async fn insist(store: &SharedStore, key: &str) -> Revision {
    let written = async {
        loop {
            match store.txn(txn([put(key, Precondition::Absent, "1")])).await {
                Ok(revision) => return revision,
                Err(Error::MaybeDone { .. } | Error::Unavailable { .. }) => (),
                Err(Error::Conflict { .. }) => {
                    if let Ok(Some(kv)) = store.get(key).await {
                        return kv.mod_revision;
                    }
                }
                Err(err) => panic!("{err:?}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("the store does not recover")
}

/// What ends the watch; bookmarks may come before.
async fn end_of(watch: &mut Watch) -> Error {
    let end = async {
        loop {
            match watch.next().await.expect("a watch ends with an error only") {
                Ok(batch) => assert!(batch.changes.is_empty(), "{batch:?}"),
                Err(err) => return err,
            }
        }
    };
    timeout(PATIENCE, end).await.expect("the watch does not end")
}

#[tokio::test]
async fn conforms() {
    let Some(etcd) = EtcdProcess::single().await else { return };
    check_conformance(&etcd).await;
}

#[tokio::test]
async fn conforms_on_a_newer_etcd() {
    let Some(program) = EtcdProcess::newer() else { return };
    let config = EtcdConfig { program: Some(program), ..EtcdConfig::default() };
    check_conformance(&EtcdProcess::start(config).await).await;
}

async fn check_conformance(etcd: &EtcdProcess) {
    let options = EtcdOptions::new(etcd.endpoints(), "/oaas/pm");
    let store = EtcdStore::connect(options).await.unwrap();
    let compacted = store.clone();
    let compact = move |revision| {
        let store = compacted.clone();
        async move { store.compact(revision).await.unwrap() }.boxed()
    };
    check_all(&Backend { store: Arc::new(store), compact: Box::new(compact) }).await;
}

#[tokio::test]
async fn other_peoples_keys_are_not_ours() {
    let Some(etcd) = EtcdProcess::single().await else { return };
    let connect = |prefix: &str| EtcdStore::connect(EtcdOptions::new(etcd.endpoints(), prefix));
    let ours: SharedStore = Arc::new(connect("/oaas/pm").await.unwrap());
    let theirs: SharedStore = Arc::new(connect("/oaas/pm2").await.unwrap());
    let mut client = Client::connect(etcd.endpoints(), None).await.unwrap();
    create(&theirs, "a", "1").await;
    client.put(b"/oaas/pm/\xff".to_vec(), "not text", None).await.unwrap();
    let mut watch = ours.watch("", Revision(1)).await.unwrap();
    assert!(list_all(&ours, "", 10).await.0.is_empty());
    assert_eq!(ours.head().await.unwrap(), Revision(0));
    let revision = create(&ours, "a", "1").await;
    create(&theirs, "b", "1").await;
    assert_eq!(ours.head().await.unwrap(), revision, "the head is of our transactions");
    let batch = next_changes(&mut watch).await;
    assert_eq!((batch.revision, batch.changes.len()), (revision, 1));
}

#[tokio::test]
async fn a_dead_store_is_unavailable_and_comes_back() {
    let Some(mut etcd) = EtcdProcess::single().await else { return };
    let store = hasty(&etcd).await;
    let before = create(&store, "before", "1").await;
    let mut watch = store.watch("", before.next()).await.unwrap();
    etcd.kill(0);
    assert!(matches!(end_of(&mut watch).await, Error::Unavailable { .. }));
    for _ in 0..3 {
        // Nobody listens, so nothing was written: not "maybe".
        let got = store.txn(txn([put("during", Precondition::Absent, "1")])).await;
        assert!(matches!(got, Err(Error::Unavailable { .. })), "{got:?}");
        assert!(matches!(store.get("before").await, Err(Error::Unavailable { .. })));
        assert!(store.watch("", before.next()).await.is_err());
    }
    etcd.restart(0).await;
    insist(&store, "after").await;
    assert_eq!(store.get("during").await.unwrap(), None);
    let mut watch = store.watch("", before.next()).await.unwrap();
    assert_eq!(next_changes(&mut watch).await.changes.len(), 1, "the watch goes on");
}

#[tokio::test]
async fn a_store_that_hangs_is_told_in_time() {
    let Some(etcd) = EtcdProcess::single().await else { return };
    let store = hasty(&etcd).await;
    let before = create(&store, "before", "1").await;
    let mut watch = store.watch("", before.next()).await.unwrap();
    etcd.pause(0);
    let start = Instant::now();
    let got = store.txn(txn([put("during", Precondition::Absent, "1")])).await;
    assert!(matches!(got, Err(Error::MaybeDone { .. })), "{got:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let got = store.get("before").await;
    assert!(matches!(got, Err(Error::Unavailable { .. })), "{got:?}");
    assert!(matches!(end_of(&mut watch).await, Error::Unavailable { .. }));
    etcd.resume(0);
    insist(&store, "after").await;
    let mut watch = store.watch("", before.next()).await.unwrap();
    next_changes(&mut watch).await;
}

#[tokio::test]
async fn another_member_takes_over_from_one_that_hangs() {
    let Some(etcd) = three().await else { return };
    let mut options = EtcdOptions::new(etcd.endpoints(), "/oaas/pm");
    options.timeout = Duration::from_secs(3);
    let store: SharedStore = Arc::new(EtcdStore::connect(options).await.unwrap());
    create(&store, "before", "1").await;
    etcd.pause(0);
    // Once in a while it was the leader, and the others elect one first.
    let start = Instant::now();
    insist(&store, "during").await;
    assert!(store.get("before").await.unwrap().is_some());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let start = Instant::now();
    for n in 0..20 {
        insist(&store, &format!("then/{n}")).await;
    }
    // Were it asked in its turn, every third write would wait three seconds for it. Once is no harm:
    // the others may have to elect a leader again.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "it is asked again and again: {took:?}");
    etcd.resume(0);
    insist(&store, "after").await;
}

/// Each member is killed and comes back while writes and a watch go on: nothing that was
/// acknowledged is lost, and the watch, resumed, has skipped nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_die_one_after_another() {
    let Some(mut etcd) = three().await else { return };
    let store = hasty(&etcd).await;
    let start = store.head().await.unwrap().next();
    let writer = Arc::clone(&store);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writes = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        while !*stopped.borrow() {
            let key = format!("n/{:05}", acknowledged.len());
            acknowledged.push((key.clone(), insist(&writer, &key).await));
        }
        acknowledged
    });
    for node in 0..3 {
        sleep(Duration::from_millis(300)).await;
        etcd.kill(node);
        sleep(Duration::from_millis(700)).await;
        etcd.restart(node).await;
    }
    stop.send_replace(true);
    let acknowledged = writes.await.unwrap();
    let (items, _) = list_all(&store, "n/", 1000).await;
    let found: Vec<_> = items.iter().map(|kv| (kv.key.clone(), kv.mod_revision)).collect();
    assert_eq!(found, acknowledged);

    let mut seen = Vec::new();
    let mut next = start;
    let all = async {
        while seen.len() < acknowledged.len() {
            let Ok(mut watch) = store.watch("n/", next).await else { continue };
            while let Some(Ok(batch)) = watch.next().await {
                next = batch.revision.next();
                seen.extend(batch.changes);
                if seen.len() >= acknowledged.len() {
                    break;
                }
            }
        }
    };
    timeout(PATIENCE, all).await.expect("the watch does not catch up");
    assert_eq!(seen.len(), acknowledged.len());
}

#[tokio::test]
async fn a_full_store_is_told() {
    let config = EtcdConfig {
        extra_args: vec![format!("--quota-backend-bytes={}", 8 << 20)],
        ..EtcdConfig::default()
    };
    let Some(etcd) = EtcdProcess::start_if_available(config).await else { return };
    let store = hasty(&etcd).await;
    let mut n_written = 0;
    let full = loop {
        let write = put(&format!("{n_written}"), Precondition::Absent, vec![0; 1 << 20]);
        match store.txn(txn([write])).await {
            Ok(_) => n_written += 1,
            Err(err) => break err,
        }
        assert!(n_written < 100, "etcd is never full");
    };
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    // Reads go on. etcd looks at the quota before and after it applies: what was refused first may
    // be there, what is refused from now on is not.
    let n_found = list_all(&store, "", 100).await.0.len();
    assert!((n_written..=n_written + 1).contains(&n_found), "{n_written} written, {n_found} found");
    let again = store.txn(txn([put("again", Precondition::Absent, vec![0; 1 << 20])])).await;
    assert!(matches!(again, Err(Error::Full { .. })), "{again:?}");
    assert_eq!(list_all(&store, "", 100).await.0.len(), n_found);
}

/// A revision of the future is one of another life of the store: list again.
#[tokio::test]
async fn a_store_restored_from_a_backup_is_noticed() {
    let Some(etcd) = EtcdProcess::single().await else { return };
    let store = hasty(&etcd).await;
    create(&store, "a", "1").await;
    let ahead = Revision(1000);
    let watched = store.watch("", ahead).await.err();
    assert!(matches!(watched, Some(Error::Compacted { asked }) if asked == ahead), "{watched:?}");
    let listed = store.list("", None, 10, Some(ahead)).await;
    assert!(matches!(listed, Err(Error::Compacted { asked }) if asked == ahead), "{listed:?}");
}

#[tokio::test]
async fn nothing_listens() {
    let options = EtcdOptions::new(vec!["http://127.0.0.1:1".to_owned()], "/oaas/pm");
    let err = EtcdStore::connect(options).await.unwrap_err();
    assert!(matches!(err, Error::Unavailable { .. }), "{err:?}");
    let err = EtcdStore::connect(EtcdOptions::new(vec![], "/oaas/pm")).await.unwrap_err();
    assert!(matches!(err, Error::Refused { .. }), "{err:?}");
}

#[test]
fn secrets_are_not_shown() {
    let mut options = EtcdOptions::new(vec![], "/");
    options.password = Some(Password::fixed("hunter2"));
    options.client_key_pem = Some(Secret::new("hunter2"));
    assert!(!format!("{options:?}").contains("hunter2"));
}

/// Certificates of a server and a client, signed by one authority.
struct Pki {
    dir: TempDir,
    ca: String,
    client_cert: String,
    client_key: String,
}

impl Pki {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let names = vec![name.to_owned(), "localhost".to_owned()];
            let cert = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            (cert.pem(), key.serialize_pem())
        };
        let (server_cert, server_key) = signed("127.0.0.1");
        let (client_cert, client_key) = signed("client");
        fs::write(dir.path().join("server.pem"), server_cert).unwrap();
        fs::write(dir.path().join("server.key"), server_key).unwrap();
        fs::write(dir.path().join("ca.pem"), ca_cert.pem()).unwrap();
        Self { dir, ca: ca_cert.pem(), client_cert, client_key }
    }

    fn server(&self) -> ServerTls {
        let path = |name: &str| -> PathBuf { self.dir.path().join(name) };
        ServerTls { cert: path("server.pem"), key: path("server.key"), client_ca: path("ca.pem") }
    }

    fn options(&self, etcd: &EtcdProcess) -> EtcdOptions {
        EtcdOptions {
            ca_cert_pem: Some(self.ca.clone()),
            client_cert_pem: Some(self.client_cert.clone()),
            client_key_pem: Some(Secret::new(self.client_key.clone())),
            timeout: Duration::from_secs(2),
            ..EtcdOptions::new(etcd.endpoints(), "/oaas/pm")
        }
    }

    /// A client that may set up users.
    async fn root(&self, etcd: &EtcdProcess) -> Client {
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .identity(Identity::from_pem(&self.client_cert, &self.client_key));
        Client::connect(etcd.endpoints(), Some(ConnectOptions::new().with_tls(tls))).await.unwrap()
    }
}

#[tokio::test]
async fn tls_users_and_tokens() {
    check_tls_users_and_tokens(EtcdConfig::default()).await;
}

#[tokio::test]
async fn tls_users_and_tokens_on_a_newer_etcd() {
    let Some(program) = EtcdProcess::newer() else { return };
    let config = EtcdConfig { program: Some(program), ..EtcdConfig::default() };
    check_tls_users_and_tokens(config).await;
}

async fn check_tls_users_and_tokens(config: EtcdConfig) {
    let pki = Pki::new();
    let config = EtcdConfig {
        tls: Some(pki.server()),
        extra_args: vec!["--auth-token-ttl=1".to_owned()],
        ..config
    };
    let Some(etcd) = EtcdProcess::start_if_available(config).await else { return };
    let open: SharedStore = Arc::new(EtcdStore::connect(pki.options(&etcd)).await.unwrap());
    create(&open, "over-tls", "1").await;
    let strange = EtcdOptions { ca_cert_pem: Some(Pki::new().ca), ..pki.options(&etcd) };
    let err = EtcdStore::connect(strange).await.unwrap_err();
    assert!(matches!(err, Error::Unavailable { .. }), "a strange authority: {err:?}");
    let nobody = EtcdOptions { client_cert_pem: None, client_key_pem: None, ..pki.options(&etcd) };
    let err = EtcdStore::connect(nobody).await.unwrap_err();
    assert!(matches!(err, Error::Unavailable { .. }), "without a certificate: {err:?}");

    let mut root = pki.root(&etcd).await;
    root.user_add("root", "r", None).await.unwrap();
    root.role_add("root").await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.user_add("pm", "right", None).await.unwrap();
    root.role_add("pm").await.unwrap();
    let permission =
        etcd_client::Permission::new(PermissionType::Readwrite, "/oaas/pm/").with_prefix();
    root.role_grant_permission("pm", permission).await.unwrap();
    root.user_grant_role("pm", "pm").await.unwrap();
    root.auth_enable().await.unwrap();

    let with_user = |username: &str, password: &str| EtcdOptions {
        username: Some(username.to_owned()),
        password: Some(Password::fixed(password)),
        ..pki.options(&etcd)
    };
    let err = EtcdStore::connect(with_user("pm", "wrong")).await.unwrap_err();
    assert!(matches!(&err, Error::Unauthorized { reason } if reason.contains("failed")), "{err:?}");
    let elsewhere = EtcdOptions { key_prefix: "/else".to_owned(), ..with_user("pm", "right") };
    let err = EtcdStore::connect(elsewhere).await.unwrap_err();
    assert!(matches!(&err, Error::Unauthorized { reason } if reason.contains("denied")), "{err:?}");
    let got = open.txn(txn([put("b", Precondition::Absent, "1")])).await;
    assert!(matches!(got, Err(Error::Unauthorized { .. })), "without a user: {got:?}");

    let store: SharedStore = Arc::new(EtcdStore::connect(with_user("pm", "right")).await.unwrap());
    let mut last = create(&store, "a", "0").await;
    let mut watch = store.watch("", last.next()).await.unwrap();
    for n in 1..3 {
        // The token of a user who is idle expires, here after a second; etcd looks now and then.
        sleep(Duration::from_secs(3)).await;
        assert!(store.get("a").await.unwrap().is_some());
        sleep(Duration::from_secs(3)).await;
        last = store.txn(txn([put("a", Precondition::At(last), format!("{n}"))])).await.unwrap();
        assert_eq!(next_changes(&mut watch).await.revision, last);
    }
    sleep(Duration::from_secs(3)).await;
    let mut again = store.watch("", last).await.unwrap();
    assert_eq!(next_changes(&mut again).await.revision, last, "a new watch gets a new token");
    let fenced = Txn {
        checks: vec![Check { key: "a".to_owned(), precondition: Precondition::Absent }],
        writes: vec![delete("a", Precondition::At(last))],
    };
    assert!(matches!(store.txn(fenced).await, Err(Error::Conflict { .. })));
}
