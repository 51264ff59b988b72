//! Only units are an agent's work: the rest are its own words, or others' business.

use std::collections::BTreeSet;

use oprc_controller_runtime::cache::Changed;

use super::work;
use crate::cluster::agent::Work;

#[test]
fn units_alone_are_work() {
    let changed = Changed::Unit("east".parse().unwrap(), "shop.cart".parse().unwrap());
    let (cluster, what) = work(&changed).unwrap();
    assert_eq!((cluster.as_str(), what), ("east", Work::Unit("shop.cart".parse().unwrap())));
    let others = [
        Changed::Package("shop".parse().unwrap(), BTreeSet::new()),
        Changed::Deployment("shop.cart".parse().unwrap(), BTreeSet::new()),
        Changed::Cluster("east".parse().unwrap()),
        Changed::Record("east".parse().unwrap(), "cart-1".parse().unwrap(), BTreeSet::new()),
        Changed::PackageStatus("shop".parse().unwrap()),
        Changed::DeploymentStatus("shop.cart".parse().unwrap()),
        Changed::ClusterStatus("east".parse().unwrap()),
        Changed::Leader("pm".to_owned()),
    ];
    for changed in others {
        assert!(work(&changed).is_none(), "{changed:?}");
    }
}
