//! Mistakes in the configuration stop the start, and all of them are told.

use std::{net::TcpListener, process::ExitStatus, time::Duration};

use tempfile::TempDir;

use crate::support::{Backend, Process, World, eventually, free_port, run};

/// Runs `program` with `settings` to its end; answers how it ended and what it wrote.
async fn refused(name: &str, settings: &[(&str, &str)]) -> String {
    let folder = TempDir::new().unwrap();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let settings: Vec<_> = settings.iter().map(owned).collect();
    let mut process = Process::start(name, &settings, &folder.path().join("log"));
    let status: ExitStatus = process.ended().await;
    assert_eq!(status.code(), Some(1), "{}", process.output());
    process.output()
}

#[track_caller]
fn check(output: &str, wants: &[&str]) {
    for want in wants {
        assert!(output.contains(want), "{want} is not in: {output}");
    }
}

// Names that no program reads are written apart: elsewhere one is a mistake, which is looked for.

#[tokio::test]
async fn every_mistake_is_told_at_once() {
    let settings = [
        ("OPRC_PM_SERVER_PORT", "eighty"),
        ("OPRC_PM_LEADER_TTL_SECS", "1"),
        ("OPRC_PM_STORAGE_TYPE", "postgres"),
        ("OPRC_PM_CRM_PROD_EAST_URL", "not a url"),
        ("OPRC_PM_CRM_DEFAULT_CLUSTER", "prod-west"),
        (concat!("OPRC_PM_", "SEVER_HOST"), "0.0.0.0"),
    ];
    let output = refused("oprc-pm", &settings).await;
    let names: Vec<_> = settings.iter().map(|(name, _)| *name).collect();
    check(&output, &names);
    let settings = [("OPRC_CRM_PORT", "x"), (concat!("OPRC_CRM_", "NAME"), "east")];
    let output = refused("oprc-crm", &settings).await;
    check(&output, &["OPRC_CRM_PORT", concat!("OPRC_CRM_", "NAME"), "OPRC_CRM_CLUSTER_NAME"]);
}

#[tokio::test]
async fn a_misspelt_variable_is_no_default() {
    let misspelt = concat!("OPRC_PM_", "STORAGE_TIPE");
    let output = refused("oprc-pm", &[(misspelt, "memory")]).await;
    check(&output, &[misspelt, "OPRC_PM_STORAGE_TYPE"]);
}

#[tokio::test]
async fn a_secret_is_not_told() {
    let settings = [
        ("OPRC_PM_CRM_EAST_URL", "http://127.0.0.1:1"),
        ("OPRC_PM_CRM_EAST_TOKEN", "hunter2-hunter2"),
        ("OPRC_PM_CRM_EAST_TOKEN_FILE", "/does/not/exist"),
    ];
    let output = refused("oprc-pm", &settings).await;
    check(&output, &["OPRC_PM_CRM_EAST_TOKEN"]);
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (name, settings) in [
        (
            "oprc-pm",
            vec![("OPRC_PM_SERVER_PORT", port.as_str()), ("OPRC_PM_STORAGE_TYPE", "memory")],
        ),
        (
            "oprc-crm",
            vec![
                ("OPRC_CRM_PORT", port.as_str()),
                ("OPRC_CRM_STORAGE_TYPE", "memory"),
                ("OPRC_CRM_CLUSTER_NAME", "east"),
            ],
        ),
    ] {
        let output = refused(name, &settings).await;
        check(&output, &[&format!("{name}: cannot listen on 127.0.0.1:{port}")]);
    }
}

/// What is found when files are opened and addresses are taken is told together too.
#[tokio::test]
async fn every_mistake_of_the_start_is_told_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("not-a.pem");
    std::fs::write(&file, "not PEM").unwrap();
    let file = file.to_str().unwrap();
    let settings = [
        ("OPRC_PM_SERVER_PORT", port.as_str()),
        ("OPRC_PM_STORAGE_TYPE", "memory"),
        ("OPRC_PM_SERVER_TLS_CERT_PATH", file),
        ("OPRC_PM_SERVER_TLS_KEY_PATH", file),
    ];
    let output = refused("oprc-pm", &settings).await;
    check(
        &output,
        &["2 mistakes", "cannot listen on 127.0.0.1", "the certificates cannot be used"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_file_is_refused() {
    let world = World::start(Backend::Embedded, &["edge-1"]).await;
    let variables = world.variables(free_port());
    let log = world.folder.path().join("second.log");
    let mut second = Process::start("oprc-pm", &variables, &log);
    assert_eq!(second.ended().await.code(), Some(1));
    let output = second.output();
    check(&output, &["pm.db", "another process"]);
    // The first has not noticed.
    world.put_package("1.0.0").await;
    world.is_ready(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_and_version_need_no_configuration() {
    for name in ["oprc-pm", "oprc-crm", "oprc"] {
        for flag in ["--help", "--version"] {
            let output = run(name, &[flag], &[], Duration::from_secs(20)).await;
            assert!(output.status.success(), "{name} {flag}: {output:?}");
            assert!(!output.stdout.is_empty(), "{name} {flag}");
        }
    }
}

/// The reference CRM as a process, killed and started again, holds what it held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crm_that_is_killed_holds_what_it_held() {
    let mut world = World::without_pm(Backend::Embedded, &[]).await;
    let port = free_port();
    let settings = [
        ("OPRC_CRM_CLUSTER_NAME".to_owned(), "edge-1".to_owned()),
        ("OPRC_CRM_PORT".to_owned(), port.to_string()),
        ("OPRC_CRM_SIMULATED_START_MS".to_owned(), "50".to_owned()),
        ("OPRC_CRM_DATA_DIR".to_owned(), world.folder.path().join("crm").display().to_string()),
    ];
    let log = world.folder.path().join("crm.log");
    let mut crm = Process::start("oprc-crm", &settings, &log);
    let url = format!("http://127.0.0.1:{port}");
    world.set("OPRC_PM_CRM_EDGE_1_URL", &url);
    world.add_pm().await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1"]).await;
    let api = crate::support::Api::new(url);
    let record = || async {
        match api.try_get("/api/v1/deployment-records").await {
            Ok(answer) => answer.body["items"][0].clone(),
            Err(err) => err.to_string().into(),
        }
    };
    let runs = || async {
        let record = record().await;
        if record["status"]["condition"] == "RUNNING" { Ok(record) } else { Err(record) }
    };
    let before = eventually("runs", runs).await;
    crm.kill();
    let _crm = Process::start("oprc-crm", &settings, &log);
    let after = eventually("runs again", runs).await;
    for field in ["id", "generation", "created_at"] {
        assert_eq!(before[field], after[field]);
    }
}
