//! What is no secret.

use super::{Credential, Secret};

/// Also those of the manifests, so that nothing starts before they were replaced.
#[test]
fn placeholders_are_no_secrets() {
    let manifests = include_str!("../../../../deploy/kubernetes/oprc-pm.yaml");
    let values = manifests.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(": ")?;
        ["edge-1", "jwt-secret"].contains(&name).then_some(value)
    });
    let values: Vec<&str> = values.collect();
    assert_eq!(values.len(), 2, "the Secrets of the CRM and of the tokens");
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("secret");
    for placeholder in values.into_iter().chain(["changeme", "replace-me", "Change-Me"]) {
        assert!(placeholder.parse::<Secret>().is_err(), "{placeholder}");
        std::fs::write(&file, format!("{placeholder}\n")).unwrap();
        let error = Credential::File(file.clone()).read().err().unwrap().to_string();
        assert!(error.contains("placeholder") && !error.contains(placeholder), "{error}");
    }
    assert!("change-me-not".parse::<Secret>().is_ok());
}
