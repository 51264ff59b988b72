use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use oprc_models::{
    meta::{Meta, Stored},
    names::PackageName,
    role::{Kind, Role, RoleBinding, Verb},
};

use serde_json::json;

use super::Grants;

/// What a binding of each of `roles` gives.
pub(crate) fn grants(roles: &[(Role, &[&str])]) -> Grants {
    let bindings = roles.iter().map(|(role, packages)| {
        let at = "2026-01-01T00:00:00Z";
        let meta = json!({"uid": "u", "generation": 1, "created_at": at, "updated_at": at});
        let meta: Meta = serde_json::from_value(meta).unwrap();
        let spec = RoleBinding {
            name: "b".parse().unwrap(),
            role: *role,
            subjects: vec!["ada".to_owned()],
            subject_kind: None,
            groups: Vec::new(),
            packages: packages.iter().map(|text| text.parse().unwrap()).collect(),
        };
        Arc::new(Stored { meta, spec })
    });
    Grants::of(bindings.collect())
}

fn name(text: &str) -> PackageName {
    text.parse().unwrap()
}

#[test]
fn bindings_reach_their_packages() {
    let both = grants(&[(Role::Developer, &["shop-*"]), (Role::Viewer, &["lib"])]);
    let may = |verb, kind, package: &str| both.require(verb, kind, &name(package)).is_ok();
    assert!(may(Verb::Update, Kind::Package, "shop-a"));
    assert!(may(Verb::Get, Kind::Deployment, "lib"));
    assert!(!may(Verb::Update, Kind::Package, "lib"));
    assert!(!may(Verb::Get, Kind::Package, "shop"));
    assert!(!may(Verb::Update, Kind::Deployment, "shop-a"));
    assert!(both.require_somewhere(Verb::Get, Kind::Cluster).is_ok());
    assert!(both.require_somewhere(Verb::Delete, Kind::Cluster).is_err());
    assert!(Grants::default().require_somewhere(Verb::Get, Kind::Cluster).is_err());
    let missing = both.require(Verb::Update, Kind::Deployment, &name("shop-a")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "you may not update deployments of the package shop-a: want the role deployer or admin"
    );
}

/// Who is admin of some packages does not rule over the clusters, nor over who is what.
#[test]
fn an_admin_of_some_packages_is_not_one_of_the_house() {
    let some = grants(&[(Role::Admin, &["shop-*"])]);
    assert!(some.require(Verb::Delete, Kind::Deployment, &name("shop-a")).is_ok());
    assert!(some.require_somewhere(Verb::Get, Kind::Cluster).is_ok());
    for kind in [Kind::Cluster, Kind::RoleBinding] {
        assert!(some.require_somewhere(Verb::Delete, kind).is_err());
    }
    assert!(some.require_somewhere(Verb::Get, Kind::RoleBinding).is_err());
    let all = grants(&[(Role::Admin, &["x", "*"])]);
    assert!(all.require_somewhere(Verb::Create, Kind::RoleBinding).is_ok());
}

#[test]
fn what_is_visible_is_walked_in_order_and_nothing_else() {
    let names = ["a", "shop", "shop-1", "shop-2", "shop-2-x", "shoq", "z"];
    let map: BTreeMap<PackageName, usize> =
        names.iter().enumerate().map(|(n, text)| (name(text), n)).collect();
    for patterns in [
        &["*"][..],
        &["shop-*"],
        &["shop*"],
        &["shop", "shop-2*"],
        &["shop-2", "shop-2*", "z", "a"],
        &["nothing", "sho*", "shop-*"],
        &["nothing"],
    ] {
        let grants = grants(&[(Role::Viewer, patterns)]);
        let want: Vec<&PackageName> = map.keys().filter(|name| grants.sees(name)).collect();
        let walk = |after: Bound<&PackageName>| -> Vec<PackageName> {
            grants.visible(&map, after).map(|(name, _)| name.clone()).collect()
        };
        assert_eq!(walk(Bound::Unbounded).iter().collect::<Vec<_>>(), want, "{patterns:?}");
        for after in names.iter().chain(&["0", "shop-", "zz"]).map(|text| name(text)) {
            let rest: Vec<_> = want.iter().copied().filter(|name| **name > after).collect();
            let got = walk(Bound::Excluded(&after));
            assert_eq!(got.iter().collect::<Vec<_>>(), rest, "{patterns:?} after {after}");
            let rest: Vec<_> = want.iter().copied().filter(|name| **name >= after).collect();
            let got = walk(Bound::Included(&after));
            assert_eq!(got.iter().collect::<Vec<_>>(), rest, "{patterns:?} from {after}");
        }
    }
}
