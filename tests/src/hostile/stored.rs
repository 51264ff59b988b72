//! Values that were stored: by a newer version, by hand, or damaged.

use oprc_cp_storage::keys::Key;

use super::{choose, request::is_unreadable, world::within};

/// One key of every family, and what shows it.
const FAMILIES: [(&str, &[&str]); 8] = [
    ("packages/a", &["/api/v1/packages", "/api/v1/packages/a", "/api/v1/classes"]),
    ("deployments/a", &["/api/v1/deployments?label=a", "/api/v1/deployments/a"]),
    ("clusters/a", &["/api/v1/clusters", "/api/v1/clusters/a", "/api/v1/clusters/a/health"]),
    ("units/a/a", &["/api/v1/deployments?target_env=a", "/api/v1/deployment-status/a"]),
    ("records/a/a", &["/api/v1/deployment-records", "/api/v1/deployment-records/a"]),
    ("status/packages/a", &["/api/v1/packages", "/api/v1/packages/a"]),
    (
        "status/deployments/a",
        &["/api/v1/deployments?condition=RUNNING", "/api/v1/deployment-status/a"],
    ),
    ("status/clusters/a", &["/api/v1/clusters/health", "/api/v1/clusters/a/health"]),
];

/// Stores the bytes under a key of the family that the first of them chooses. The cache goes on, and
/// whatever shows the key answers: at worst that it cannot be read.
pub fn stored(input: &[u8]) {
    let (family, value) = choose(input, 8);
    let (key, paths) = FAMILIES[usize::from(family)];
    let key: Key = key.parse().expect("keys here are well-formed");
    within(async |world| {
        world.put(&key, Some(value)).await;
        for path in paths {
            let answer = world.get(path).await;
            let status = answer.status();
            let text = String::from_utf8_lossy(answer.body());
            let is_well = !status.is_server_error() || is_unreadable(status, &text);
            assert!(is_well, "GET {path}: {status}: {text}");
        }
        world.put(&key, None).await;
    });
}
