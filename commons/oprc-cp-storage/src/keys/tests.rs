//! Tests of the layout of keys.

use super::Key;

#[test]
fn keys_and_back() {
    let table = [
        "packages/shop",
        "deployments/shop.cart",
        "clusters/east",
        "units/east/shop.cart",
        "records/east/u-1",
        "status/packages/shop",
        "status/deployments/shop.cart",
        "status/clusters/east",
        "package-revisions/shop/1",
        "deployment-revisions/shop.cart/18446744073709551615",
        "package-versions/shop/1.0.0-rc.1",
        "bundles/shop-prod",
        "pushes/6a6e2f",
        "role-bindings/shop-developers",
        "leader/pm",
    ];
    for key in table {
        let parsed: Key = key.parse().unwrap_or_else(|err| panic!("{err}"));
        assert_eq!(parsed.to_string(), key);
    }
}

#[test]
fn what_is_not_ours() {
    let table = [
        "",
        "head",
        "packages",
        "packages/",
        "packages/a/b",
        "units/a",
        "units/a/b/c",
        "status/x/y",
        "units//b",
        "other/a",
        "leader/",
        "clusters/UPPER",
        "package-revisions/shop",
        "package-revisions/shop/x",
        "deployment-revisions/a/+1",
        "deployment-revisions/a/01",
        "deployment-revisions/a/1/2",
        "package-versions/shop",
        "package-versions/shop/1.0",
        "package-versions/shop/1.0.0+b",
    ];
    for key in table {
        assert!(key.parse::<Key>().is_err(), "{key}");
    }
}
