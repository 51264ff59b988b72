//! Every document under `examples/`, as a person pushes it: through the command line, and as a POST.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;

use crate::support::{Api, Backend, PATIENCE, World, eventually, on_each_backend, run};

on_each_backend!(
    the_command_line_pushes_every_example,
    the_command_line_waits_for_a_change_of_the_package_alone,
    every_example_can_be_posted,
    every_folder_is_applied_as_a_whole,
);

/// All clusters that an example names.
const CLUSTERS: &[&str] = &["cloud-1", "edge-1", "edge-2"];

/// What runs when all are pushed, and where; `None`: where it was placed.
const RUNNING: &[(&str, Option<&[&str]>)] = &[
    ("chat.Room", None),
    ("image-pipeline.raw-image", None),
    ("nightly-reports", Some(&["cloud-1"])),
    ("sensor-twin.plant-a", Some(&["edge-1", "edge-2"])),
    ("shop.Cart", Some(&["edge-1", "edge-2"])),
    ("shop.Order", None),
    ("shop.cart-canary", Some(&["edge-2"])),
    ("telemetry-demo.Probe", Some(&["edge-2"])),
    ("telemetry-demo.probe", Some(&["edge-1"])),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The text of `examples/{file}`.
pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

/// The later version of `shop.yaml`.
const LATER: &str = "shop-v2/shop.yaml";

/// The names of the documents of `examples/`, without its folders; the later version of one last.
fn files() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(Result::unwrap);
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let is_document = |name: &String| name.ends_with(".yaml") || name.ends_with(".json");
    let mut names: Vec<_> = names.filter(is_document).collect();
    names.sort();
    names.push(LATER.to_owned());
    names
}

/// Each folder is one push, the examples themselves and those that are added later included.
async fn every_folder_is_applied_as_a_whole(backend: Backend) {
    let world = World::start(backend, CLUSTERS).await;
    let mut folders: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders.insert(0, folder());
    assert!(folders.len() > 3, "{folders:?}");
    for folder in folders {
        let path = folder.to_str().unwrap();
        let output = oprc(&world, &["apply", "--strict", "-f", path]).await;
        assert!(!output.stdout.is_empty(), "{path}: {output:?}");
    }
    world.runs_on("gitops-orders.canary", &["edge-1"]).await;
}

async fn the_command_line_pushes_every_example(backend: Backend) {
    let world = World::start(backend, CLUSTERS).await;
    for file in files() {
        let path = folder().join(&file);
        oprc(&world, &["apply", "-f", path.to_str().unwrap()]).await;
    }
    // The same again changes nothing, and ends when everything runs.
    let paths: Vec<_> = files().iter().map(|file| folder().join(file)).collect();
    let mut args = vec!["apply", "--wait"];
    // It declares what its later version does.
    for path in paths.iter().filter(|path| **path != folder().join("shop.yaml")) {
        args.extend(["-f", path.to_str().unwrap()]);
    }
    oprc(&world, &args).await;
    everything_runs(&world).await;

    let output = oprc(&world, &["get", "deployments", "-o", "json"]).await;
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let n_shown = shown["items"].as_array().or(shown.as_array()).map(Vec::len);
    assert_eq!(n_shown, Some(RUNNING.len()), "{shown}");
}

/// Runs `oprc` to its end; wants it to succeed.
async fn oprc(world: &World, args: &[&str]) -> Output {
    let settings = [
        ("OPRC_SERVER".to_owned(), world.api().url.clone()),
        ("HOME".to_owned(), world.folder.path().to_str().unwrap().to_owned()),
    ];
    let output = run("oprc", args, &settings, PATIENCE * 2).await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

/// What it waited for is so when it ends: at once, not a moment later.
async fn the_command_line_waits_for_a_change_of_the_package_alone(backend: Backend) {
    let world = World::start(backend, CLUSTERS).await;
    let mut before = Vec::new();
    for file in ["shop.yaml", LATER] {
        let path = folder().join(file);
        oprc(&world, &["apply", "--wait", "-f", path.to_str().unwrap()]).await;
        let mut hashes = Vec::new();
        for name in ["edge-1", "edge-2"] {
            let record = world.cluster(name).record_of("shop.Cart").await.unwrap();
            assert_eq!(record["status"]["condition"], "RUNNING", "{record}");
            hashes.push(record["spec_hash"].clone());
        }
        for (before, after) in before.iter().zip(&hashes) {
            assert_ne!(before, after, "it did not wait for the change");
        }
        before = hashes;
    }
}

async fn every_example_can_be_posted(backend: Backend) {
    let world = World::start(backend, CLUSTERS).await;
    for file in files() {
        // Several documents in one file are several pushes.
        for (number, text) in read(&file).split("\n---\n").enumerate() {
            post(world.api(), &file, number, text).await;
        }
    }
    everything_runs(&world).await;
}

async fn post(api: &Api, file: &str, number: usize, text: &str) {
    let media_type = if file.ends_with("json") { "application/json" } else { "application/yaml" };
    let path = match (file, number) {
        (LATER, _) => "/api/v1/packages/shop",
        ("stream.yaml", 1) => "/api/v1/deployments",
        _ => "/api/v1/packages",
    };
    let answer = api.post_text(path, media_type, text.to_owned()).await;
    assert!(answer.status.is_success(), "{file}: {answer:?}");
}

/// Everything runs where it should, its status says so, and no cluster holds anything else.
async fn everything_runs(world: &World) {
    let mut n_records = 0;
    for (key, targets) in RUNNING {
        let placed = match targets {
            Some(targets) => targets.iter().map(|&name| name.to_owned()).collect(),
            None => placed(world, key).await,
        };
        let placed: Vec<&str> = placed.iter().map(String::as_str).collect();
        world.runs_on(key, &placed).await;
        n_records += placed.len();
    }
    let mut n_found = 0;
    for cluster in world.clusters.values() {
        n_found += cluster.records().await.len();
    }
    assert_eq!(n_found, n_records, "the clusters hold something else too");
    for package in ["analytics", "chat", "image-pipeline", "sensor-twin", "shop", "text.tools"] {
        let answer = world.api().get(&format!("/api/v1/packages/{package}")).await;
        let conditions =
            answer.body["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
        assert!(conditions.iter().any(is_ready), "{answer:?}");
    }
}

/// Where the deployment `key` was placed: on at least one cluster.
async fn placed(world: &World, key: &str) -> Vec<String> {
    eventually("placed", || async {
        let status = world.status(key).await;
        let parts = status["clusters"].as_array().cloned().unwrap_or_default();
        let names = parts.iter().map(|part| part["cluster"].as_str().unwrap().to_owned());
        if parts.is_empty() { Err(status) } else { Ok(names.collect()) }
    })
    .await
}
