//! Probes, silent members, and credentials that change.

use super::*;

/// A probe makes no revision, and says what a write would.
#[tokio::test]
async fn probe_fails_where_writes_do_and_changes_nothing() {
    let Some(etcd) = EtcdProcess::start_if_available(EtcdConfig {
        extra_args: vec!["--quota-backend-bytes=16777216".to_owned()],
        ..EtcdConfig::default()
    })
    .await
    else {
        return;
    };
    let store = hasty(&etcd).await;
    let mut client = Client::connect(etcd.endpoints(), None).await.unwrap();
    store.probe().await.unwrap();
    let first = create(&store, "a", "1").await;
    for _ in 0..5 {
        store.probe().await.unwrap();
    }
    let second = create(&store, "b", "1").await;
    assert_eq!(second, first.next(), "a probe makes no revision");
    let mut n = 0;
    while client.put(format!("/ballast/{n}"), vec![0; 1 << 20], None).await.is_ok() {
        n += 1;
        assert!(n < 100, "etcd is never full");
    }
    let probed = store.probe().await;
    assert!(matches!(probed, Err(Error::Full { .. })), "{probed:?}");
    assert!(store.get("a").await.unwrap().is_some(), "reads go on");
    etcd.pause(0);
    let probed = store.probe().await;
    assert!(matches!(probed, Err(Error::Unavailable { .. })), "{probed:?}");
}

/// With the timeout of an hour, members that are tried one after another would take minutes.
#[tokio::test]
async fn silent_first_member_does_not_delay_the_start() {
    let Some(etcd) = EtcdProcess::single().await else { return };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut endpoints = vec![format!("http://{}", silent.local_addr().unwrap())];
    endpoints.extend(etcd.endpoints());
    let mut options = EtcdOptions::new(endpoints, "/oaas/pm");
    options.timeout = Duration::from_secs(3600);
    let connected = timeout(PATIENCE, EtcdStore::connect(options)).await;
    let store: SharedStore = Arc::new(connected.expect("the start waits").unwrap());
    let used = timeout(PATIENCE, async {
        let revision = create(&store, "a", "1").await;
        let mut watch = store.watch("", revision).await.unwrap();
        next_changes(&mut watch).await.revision
    });
    assert!(used.await.is_ok(), "calls and watches use the member that answered");
}

/// The order that the documentation gives for switching authentication and for a new password.
#[tokio::test]
async fn authentication_and_password_change_without_an_outage() {
    check_changing_credentials(EtcdConfig::default()).await;
}

#[tokio::test]
async fn authentication_and_password_change_without_an_outage_on_a_newer_etcd() {
    let Some(program) = EtcdProcess::newer() else { return };
    check_changing_credentials(EtcdConfig { program: Some(program), ..EtcdConfig::default() })
        .await;
}

async fn check_changing_credentials(config: EtcdConfig) {
    let Some(etcd) = EtcdProcess::start_if_available(config).await else { return };
    let file = Arc::new(parking_lot::Mutex::new("first".to_owned()));
    let read = Arc::clone(&file);
    let options = EtcdOptions {
        username: Some("pm".to_owned()),
        password: Some(Password::new(move || Ok(Secret::new(read.lock().clone())))),
        ..EtcdOptions::new(etcd.endpoints(), "/oaas/pm")
    };
    // Authentication is off, and we have a user already.
    let store: SharedStore = Arc::new(EtcdStore::connect(options).await.unwrap());
    let mut watch = store.watch("", Revision(1)).await.unwrap();
    let mut n = 0;
    let mut works = async || {
        n += 1;
        let revision = create(&store, &format!("{n}"), "1").await;
        store.probe().await.unwrap();
        assert!(store.get(&format!("{n}")).await.unwrap().is_some());
        assert_eq!(next_changes(&mut watch).await.revision, revision);
        let mut again = store.watch("", revision).await.unwrap();
        assert_eq!(next_changes(&mut again).await.revision, revision);
        // A connection is replaced at most once a second.
        sleep(Duration::from_secs(2)).await;
    };
    works().await;

    let mut root = Client::connect(etcd.endpoints(), None).await.unwrap();
    root.user_add("root", "r", None).await.unwrap();
    root.role_add("root").await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.user_add("pm", "first", None).await.unwrap();
    root.role_add("pm").await.unwrap();
    let permission =
        etcd_client::Permission::new(PermissionType::Readwrite, "/oaas/pm/").with_prefix();
    root.role_grant_permission("pm", permission).await.unwrap();
    root.user_grant_role("pm", "pm").await.unwrap();
    root.auth_enable().await.unwrap();
    works().await;

    let with_root = ConnectOptions::new().with_user("root", "r");
    let mut root = Client::connect(etcd.endpoints(), Some(with_root)).await.unwrap();
    *file.lock() = "second".to_owned();
    works().await;
    root.user_change_password("pm", "second").await.unwrap();
    works().await;
    // Withdrawn and given back: refused meanwhile, with an error of its own.
    root.user_revoke_role("pm", "pm").await.unwrap();
    let refused = store.probe().await;
    assert!(matches!(refused, Err(Error::Unauthorized { .. })), "{refused:?}");
    root.user_grant_role("pm", "pm").await.unwrap();
    sleep(Duration::from_secs(2)).await;
    works().await;

    root.auth_disable().await.unwrap();
    works().await;
}
