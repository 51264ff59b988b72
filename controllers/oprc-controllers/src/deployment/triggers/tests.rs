//! Which deployments each kind of change has looked at.

use std::collections::BTreeSet;

use oprc_controller_runtime::cache::Changed;
use oprc_models::names::DeploymentKey;

use super::keys;
use crate::tests::World;

fn set<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(names: &[&str]) -> BTreeSet<T> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// `shop` has deployments `a` (on `east`) and `b`; `extra` builds on `shop` and has `c`; `far`
/// builds on `extra` and has `d`.
#[tokio::test(start_paused = true)]
async fn by_table() {
    let world = World::store_only().await;
    world.put_package_of("shop", &[]).await;
    world.put_package_of("extra", &["shop"]).await;
    world.put_package_of("far", &["extra@^1"]).await;
    for (key, package) in [("a", "shop"), ("b", "shop"), ("c", "extra"), ("d", "far")] {
        world.put_deployment_of(key, package).await;
    }
    world.put_unit("east", "a").await;
    world.put_unit("west", "d").await;
    let state = world.cache.read();
    let check = |changed: Changed, awaiting: &[&str], want: &[&str]| {
        let got = keys(&changed, &state, &set::<DeploymentKey>(awaiting), 2);
        let got: BTreeSet<_> = got.iter().map(DeploymentKey::as_str).collect();
        assert_eq!(got, want.iter().copied().collect(), "{changed:?}");
    };
    let (none, one) = (BTreeSet::new, || set(&["a"]));
    check(Changed::Deployment("a".parse().unwrap(), none()), &[], &["a"]);
    check(Changed::Deployment("gone".parse().unwrap(), none()), &["b"], &["gone"]);
    check(Changed::Unit("east".parse().unwrap(), "a".parse().unwrap()), &[], &["a"]);
    let record =
        |deployments| Changed::Record("east".parse().unwrap(), "x".parse().unwrap(), deployments);
    check(record(one()), &["b"], &["a"]);
    check(record(set(&["a", "b"])), &[], &["a", "b"]);
    check(record(BTreeSet::new()), &[], &[]);
    // Its own, and those of classes that bind its functions: of its dependants, and no farther.
    check(Changed::Package("shop".parse().unwrap(), none()), &[], &["a", "b", "c"]);
    check(Changed::Package("extra".parse().unwrap(), none()), &[], &["c", "d"]);
    check(Changed::Package("far".parse().unwrap(), none()), &[], &["d"]);
    check(Changed::Package("nobody".parse().unwrap(), none()), &[], &[]);
    // Those that have a unit there, and those that wait for any cluster.
    check(Changed::Cluster("east".parse().unwrap()), &["b"], &["a", "b"]);
    check(Changed::ClusterStatus("east".parse().unwrap()), &["a", "c"], &["a", "c"]);
    check(Changed::ClusterStatus("north".parse().unwrap()), &["b"], &["b"]);
    // Its own words may have been changed by another hand; the rest is nobody's.
    check(Changed::DeploymentStatus("a".parse().unwrap()), &["b"], &["a"]);
    check(Changed::PackageStatus("shop".parse().unwrap()), &["b"], &[]);
    check(Changed::Leader("pm".to_owned()), &["b"], &[]);
}
