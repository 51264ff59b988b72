//! A store that is read and not written: full, or with credentials that it refuses.

use std::{fs, time::Duration};

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, ConnectOptions, DeleteOptions,
    Permission, PermissionType,
};
use oprc_cp_storage::testing::{EtcdConfig, EtcdProcess};

use crate::support::{Api, Backend, Mode, World, check_problem, document, eventually, leader};

/// Waits until `path` is shown as stale (or not) in a linearizable read.
async fn is_marked(api: &Api, path: &str, mark: &str, want: bool) {
    eventually(&format!("{path} is stale: {want}"), || async move {
        let answer = api.get(path).await;
        let is_stale = answer.body.pointer(mark).is_some_and(|it| it == true);
        if answer.status == 200 && is_stale == want { Ok(()) } else { Err(answer) }
    })
    .await;
}

/// With etcd's space alarm raised, no replica shows a status as current, and none is ready; made room
/// for as the documentation says, all is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_etcd_makes_statuses_stale_on_every_replica_and_is_emptied() {
    let mut world = World::without_pm(Backend::Etcd, &["edge-1"]).await;
    let extra_args = vec!["--quota-backend-bytes=33554432".to_owned()];
    world.etcd = Some(EtcdProcess::start(EtcdConfig { extra_args, ..EtcdConfig::default() }).await);
    world.add_pm().await;
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1"]).await;
    world.runs_on("cart", &["edge-1"]).await;

    let mut etcd = world.etcd_client().await;
    let mut n = 0;
    while etcd.put(format!("/ballast/{n}"), vec![0; 1 << 20], None).await.is_ok() {
        n += 1;
        assert!(n < 200, "etcd is never full");
    }
    world.cluster("edge-1").set_mode(Mode::Closed);
    for pm in &world.pms {
        for (path, mark) in [
            ("/api/v1/deployment-status/cart", "/stale"),
            ("/api/v1/deployments/cart", "/status/stale"),
            ("/api/v1/packages/shop", "/status/stale"),
            ("/api/v1/clusters/edge-1", "/status/stale"),
            ("/api/v1/clusters/edge-1/health", "/stale"),
        ] {
            is_marked(&pm.api, path, mark, true).await;
        }
        let ready = pm.api.get("/readyz").await;
        assert_eq!(ready.status, 503, "{ready:?}");
        assert!(ready.body["reasons"][0].as_str().unwrap().contains("full"), "{ready:?}");
    }
    check_problem(&world.api().delete("/api/v1/deployments/cart").await, 507, "store_full");

    // The steps of docs/store.md.
    let deleted = etcd.delete("/ballast/", Some(DeleteOptions::new().with_prefix())).await.unwrap();
    let revision = deleted.header().unwrap().revision();
    let options = CompactionOptions::new().with_physical();
    etcd.compact(revision, Some(options)).await.unwrap();
    etcd.defragment().await.unwrap();
    let alarms = etcd.alarm(AlarmAction::Get, AlarmType::None, None).await.unwrap();
    assert!(!alarms.alarms().is_empty(), "room alone does not end the alarm");
    for alarm in alarms.alarms() {
        let mut options = AlarmOptions::new();
        options.with_member(alarm.member_id());
        etcd.alarm(AlarmAction::Deactivate, alarm.alarm(), Some(options)).await.unwrap();
    }
    world.cluster("edge-1").set_mode(Mode::Up);
    for pm in &world.pms {
        eventually("ready", || pm.api.is_ok("/readyz")).await;
        is_marked(&pm.api, "/api/v1/deployment-status/cart", "/stale", false).await;
    }
    world.runs_on("cart", &["edge-1"]).await;
    eventually("deleted", || async {
        let answer = world.api().delete("/api/v1/deployments/cart").await;
        if [202, 404].contains(&answer.status.as_u16()) { Ok(()) } else { Err(answer) }
    })
    .await;
    world.is_gone("cart").await;
}

/// Switches authentication on, with a user for each replica.
async fn guard(etcd: &mut Client, users: &[&str]) {
    etcd.user_add("root", "r", None).await.unwrap();
    etcd.role_add("root").await.unwrap();
    etcd.user_grant_role("root", "root").await.unwrap();
    etcd.role_add("pm").await.unwrap();
    let all = Permission::new(PermissionType::Readwrite, "/oaas/pm/").with_prefix();
    etcd.role_grant_permission("pm", all).await.unwrap();
    for user in users {
        etcd.user_add(*user, "first", None).await.unwrap();
        etcd.user_grant_role(*user, "pm").await.unwrap();
    }
    etcd.auth_enable().await.unwrap();
}

/// Authentication is switched on under the replicas, then the password of the leader's user changes,
/// and only the other replica knows the new one: that one leads, and the first is not ready. With the
/// new password in its file, the first is ready again, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_whose_credentials_are_refused_hands_over() {
    let mut world = World::without_pm(Backend::Etcd, &["edge-1"]).await;
    let users = ["pm-a", "pm-b"];
    let files = users.map(|user| world.folder.path().join(user));
    for (user, file) in users.iter().zip(&files) {
        fs::write(file, "first\n").unwrap();
        world.set("OPRC_PM_ETCD_USERNAME", user);
        world.set("OPRC_PM_ETCD_PASSWORD_FILE", file.to_str().unwrap());
        world.add_pm().await;
    }
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1"]).await;
    world.runs_on("cart", &["edge-1"]).await;
    // A connection that etcd refuses is replaced at most once a second, and these are new.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut etcd = world.etcd_client().await;
    guard(&mut etcd, &users).await;
    let options = ConnectOptions::new().with_user("root", "r");
    let endpoints = world.etcd.as_ref().unwrap().endpoints();
    let mut etcd = Client::connect(endpoints, Some(options)).await.unwrap();
    // No outage: what is pushed now runs.
    world.put_deployment("guarded", &["edge-1"]).await;
    world.runs_on("guarded", &["edge-1"]).await;

    let apis: Vec<Api> = world.pms.iter().map(|pm| pm.api.clone()).collect();
    let (first, term) = leader(&mut etcd, &apis).await.unwrap().expect("one leads");
    let other = 1 - first;
    etcd.user_change_password(users[first], "second").await.unwrap();
    eventually("the other leads", || {
        let (mut etcd, apis) = (etcd.clone(), apis.clone());
        async move {
            match leader(&mut etcd, &apis).await.unwrap() {
                Some((index, newer)) if index == other && newer > term => Ok(()),
                found => Err(found),
            }
        }
    })
    .await;
    let ready = apis[first].get("/readyz").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.body.to_string().contains("credentials"), "{ready:?}");
    let late = document("late", &["edge-1"]);
    let refused = apis[first].put("/api/v1/deployments/late", &late).await;
    check_problem(&refused, 503, "store_unauthorized");
    let written = apis[other].put("/api/v1/deployments/late", &late).await;
    assert!(written.status.is_success(), "{written:?}");
    eventually("it runs", || async {
        let answer = apis[other].get("/api/v1/deployment-status/late").await;
        if answer.body["condition"] == "RUNNING" { Ok(()) } else { Err(answer) }
    })
    .await;

    fs::write(&files[first], "second\n").unwrap();
    eventually("ready", || apis[first].is_ok("/readyz")).await;
    let log = world.pms[first].process.output();
    assert!(log.contains("writes to the store fail"), "{log}");
    assert!(!log.contains("second"), "a secret is not shown: {log}");
}
