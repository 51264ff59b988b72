use serde_json::json;

use super::*;

/// The target that `words` mean, printed; or a part of the mistake.
fn check(words: &str, want: &str) {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    let got = match Target::parse(&words) {
        Ok(Target { kind, name: Some(name) }) => format!("{kind} {name}"),
        Ok(Target { kind, name: None }) => kind.to_string(),
        Err(err) => err.to_string(),
    };
    assert!(got.starts_with(want), "{words:?}: {got}");
}

#[test]
fn reads_kinds_and_names() {
    check("packages", "package");
    check("pkg shop", "package shop");
    check("Deploy/shop.cart", "deployment shop.cart");
    check("deployments shop.cart", "deployment shop.cart");
    check("cl", "cluster");
    check("rec cart-1", "record cart-1");
    check("classes", "class");
    check("fn/add", "function add");
    check("bundles", "bundle");
    check("rb/shop-team", "role-binding shop-team");
    check("pods", "\"pods\" is not a kind");
    check("pkg/", "\"\" is not a name");
    check("pkg a/b", "\"a/b\" is not a name");
    check("pkg a b", "want KIND");
}

#[test]
fn tells_parts_of_packages_apart() {
    let class = json!({ "key": "Cart", "package_name": "shop" });
    assert_eq!(Kind::Class.id_of(&class), "shop.Cart");
    let record = json!({ "id": "cart-1", "cluster": "east" });
    assert_eq!(Kind::Record.id_of(&record), "east/cart-1");
}
