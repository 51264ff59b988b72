//! The files in `examples/` are what their comments say: accepted without a warning, or refused at
//! exactly these places.

#![expect(clippy::unwrap_used, reason = "a test; the lint sees functions beside the tests too")]

use std::{fs, path::Path};

use oprc_models::{
    document::{self, Format, Kind, Node, PackageDocument, Parsed},
    problem::Violation,
};

/// The files of a folder of `examples/`, by name: name, format, content.
fn files(folder: &str) -> Vec<(String, Format, Vec<u8>)> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(folder))
}

fn read(folder: &Path) -> Vec<(String, Format, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if let Some(format) = extension.and_then(Format::from_extension) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.push((name, format, fs::read(path).unwrap()));
        }
    }
    files.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    files
}

/// What a document is, in one line.
fn summary(node: Node) -> String {
    let warned = |warnings: Vec<Violation>| assert_eq!(warnings, [], "an example warns");
    if document::kind(&node) == Some(Kind::Deployment) {
        let Parsed { value, warnings } = document::deployment_node(node).unwrap();
        warned(warnings);
        return format!("deployment {}", value.key);
    }
    let Parsed { value, warnings } = document::package_node(node).unwrap();
    warned(warnings);
    match value {
        PackageDocument::Package(package) => {
            let version = package.version.as_deref().unwrap_or("without a version");
            let (n_classes, n_functions) = (package.classes.len(), package.functions.len());
            let deployments: Vec<&str> =
                package.deployments.iter().map(|d| d.key.as_str()).collect();
            let deployments = deployments.join(" ");
            let name = &package.name;
            format!(
                "package {name} {version}: {n_classes} classes, {n_functions} functions [{deployments}]"
            )
        }
        PackageDocument::Deployments(list) => {
            let keys: Vec<&str> = list.iter().map(|d| d.key.as_str()).collect();
            format!("deployments [{}]", keys.join(" "))
        }
    }
}

/// Every file of `folder` holds these documents, and there are no other files.
#[track_caller]
fn check(folder: &str, want: &[(&str, &[&str])]) {
    let files = files(folder);
    let names: Vec<&str> = files.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, want.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for ((name, format, content), (_, want)) in files.iter().zip(want) {
        let documents = document::documents(content, *format).unwrap();
        let got: Vec<String> = documents.into_iter().map(summary).collect();
        assert_eq!(got, *want, "{folder}/{name}");
    }
}

#[test]
fn examples_are_valid() {
    check(
        "",
        &[
            (
                "analytics.yaml",
                &["package analytics 0.3.1: 1 classes, 1 functions [nightly-reports]"],
            ),
            ("chat.json", &["package chat 1.10: 1 classes, 2 functions [chat.Room]"]),
            (
                "image-pipeline.yaml",
                &[
                    "package image-pipeline without a version: 2 classes, 3 functions [image-pipeline.raw-image]",
                ],
            ),
            ("library.yaml", &["package text.tools v1.4: 1 classes, 2 functions []"]),
            (
                "sensor-twin.yaml",
                &["package sensor-twin 3.2.0: 1 classes, 2 functions [sensor-twin.plant-a]"],
            ),
            ("shop-deployments.yaml", &["deployments [shop.cart-canary shop.Order]"]),
            ("shop.yaml", &["package shop 1.0: 2 classes, 4 functions [shop.Cart shop.order]"]),
            (
                "stream.yaml",
                &[
                    "package telemetry-demo 1.0.0: 1 classes, 2 functions []",
                    "deployment telemetry-demo.probe",
                    "deployments [telemetry-demo.Probe]",
                ],
            ),
        ],
    );
}

#[test]
fn later_version_is_valid() {
    let want = ["package shop 2.0: 2 classes, 3 functions [shop.Cart]"];
    check("shop-v2", &[("shop.yaml", &want)]);
}

#[test]
fn demo_is_valid() {
    check(
        "demo",
        &[
            ("greeter.yaml", &["package greeter 0.1.0: 1 classes, 1 functions [greeter]"]),
            ("inventory.yaml", &["package inventory 1.0: 1 classes, 2 functions [inventory.Item]"]),
            ("orders.yaml", &["package orders 1.2.0: 1 classes, 1 functions [orders.Order]"]),
        ],
    );
}

/// Lines of the form `# /pointer` in a file are where it is refused; JSON has no comments.
#[test]
fn invalid_examples_are_refused_where_they_say() {
    let files = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid"));
    assert_eq!(files.len(), 5);
    for (name, format, content) in files {
        let violations = document::package(&content, format).unwrap_err();
        let got: Vec<&str> = violations.iter().map(|v| v.pointer.as_str()).collect();
        let text = str::from_utf8(&content).unwrap();
        let want: Vec<&str> = match format {
            Format::Json => vec!["/functions/0/key", "/name"],
            Format::Yaml => text
                .lines()
                .filter_map(|line| line.strip_prefix("# "))
                .filter(|l| l.starts_with('/'))
                .collect(),
        };
        assert_eq!(got, want, "{name}: {violations:#?}");
    }
}
