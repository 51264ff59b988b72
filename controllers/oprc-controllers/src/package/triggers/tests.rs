//! Which packages each kind of change has looked at.

use std::collections::BTreeSet;

use oprc_controller_runtime::cache::Changed;
use oprc_models::names::PackageName;

use super::keys;
use crate::tests::World;

fn names(of: &[&str]) -> BTreeSet<PackageName> {
    of.iter().map(|name| name.parse().unwrap()).collect()
}

/// `c` needs `b`, `b` needs `a`; `x` and `y` need each other; `old` is on its way out.
#[tokio::test(start_paused = true)]
async fn by_table() {
    let world = World::store_only().await;
    for (name, needs) in
        [("a", &[][..]), ("b", &["a"]), ("c", &["b"]), ("x", &["y"]), ("y", &["x"]), ("old", &[])]
    {
        world.put_package_of(name, needs).await;
    }
    world.delete_package("old").await;
    let state = world.cache.read();
    let check = |changed: Changed, want: &[&str]| {
        let got: BTreeSet<_> = keys(&changed, &state, 2).into_iter().collect();
        assert_eq!(got, names(want), "{changed:?}");
    };
    // A cycle, or a missing package, shows in all that depend on it, however far away.
    check(Changed::Package("a".parse().unwrap(), names(&[])), &["a", "b", "c"]);
    check(Changed::Package("b".parse().unwrap(), names(&["a"])), &["b", "c"]);
    check(Changed::Package("x".parse().unwrap(), names(&["y"])), &["x", "y"]);
    check(Changed::Package("gone".parse().unwrap(), names(&[])), &["gone"]);
    // What it needed may have waited for it, to go.
    check(Changed::Package("c".parse().unwrap(), names(&["old", "b"])), &["c", "old"]);
    let deployment = |packages| Changed::Deployment("shop.cart".parse().unwrap(), names(packages));
    check(deployment(&["a"]), &[]);
    check(deployment(&["a", "old", "gone"]), &["old"]);
    check(Changed::PackageStatus("old".parse().unwrap()), &["old"]);
    for changed in [
        Changed::Cluster("east".parse().unwrap()),
        Changed::Unit("east".parse().unwrap(), "d".parse().unwrap()),
        Changed::Record("east".parse().unwrap(), "u".parse().unwrap(), BTreeSet::new()),
        Changed::DeploymentStatus("d".parse().unwrap()),
        Changed::ClusterStatus("east".parse().unwrap()),
        Changed::Leader("pm".to_owned()),
    ] {
        check(changed, &[]);
    }
}

/// The last of those that a deleted package waits for goes, and so does it, with nothing to wake
/// it but that.
#[tokio::test(start_paused = true)]
async fn deleted_packages_go_in_order() {
    let world = World::start(&[]).await;
    world.put_package_of("a", &[]).await;
    world.put_package_of("b", &["a"]).await;
    world.put_package_of("c", &["b", "a"]).await;
    world.delete_package("a").await;
    world.delete_package("b").await;
    world.quiet().await;
    assert_eq!(world.cache.read().packages.len(), 3, "c holds them all");
    world.delete_package("c").await;
    world.eventually(5, "all gone", |world| world.cache.read().packages.is_empty()).await;
    world.eventually(5, "statuses", |world| world.cache.read().package_statuses.is_empty()).await;
}

/// It lets go of what it needed by a change as well as by going.
#[tokio::test(start_paused = true)]
async fn deleted_package_goes_once_it_is_not_needed() {
    let world = World::start(&[]).await;
    world.put_package_of("a", &[]).await;
    world.put_package_of("b", &["a"]).await;
    world.delete_package("a").await;
    world.quiet().await;
    world.put_package_of("b", &[]).await;
    world.eventually(5, "a is gone", |w| !w.cache.read().packages.contains_key("a")).await;
}
