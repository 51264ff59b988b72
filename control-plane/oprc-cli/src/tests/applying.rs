//! `apply`, `diff`.

use serde_json::json;

use super::*;

const SHOP: &str = "
name: shop
version: 1.0
classes:
  - key: Cart
    function_bindings: [{name: add, function_key: add}]
functions:
  - key: add
    provision_config: {container_image: 'shop/add:1', port: 80}
    config: {HTTP_PORT: 08}
";

const CART: &str = "
key: shop.cart
package_name: shop
class_key: Cart
target_envs: [east]
";

/// The one place that applies: `want` is standard output.
async fn check(bench: &Bench, words: &str, want: &str) {
    let ran = bench.run(words).await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{words}: {}", ran.err);
}

#[tokio::test]
async fn creates_then_changes_nothing_then_configures() {
    let bench = Bench::new().await;
    bench.file("a-cart.yaml", CART);
    bench.file("b-shop.yml", SHOP);
    bench.file("sub/ignored.yaml", "name: other\nclasses: [{key: A}]");
    check(&bench, "apply -f {}", "package/shop created\ndeployment/shop.cart created\n").await;
    assert_eq!(bench.server.requests("P"), ["POST apply"], "all at once");

    check(&bench, "apply -f {}", "package/shop unchanged\ndeployment/shop.cart unchanged\n").await;
    bench.file("a-cart.yaml", &CART.replace("east", "west"));
    check(&bench, "apply -f {}", "package/shop unchanged\ndeployment/shop.cart configured\n").await;
    check(
        &bench,
        "apply -R -f {}",
        "package/shop unchanged\npackage/other created\ndeployment/shop.cart unchanged\n",
    )
    .await;
}

#[tokio::test]
async fn sends_what_was_written() {
    let bench = Bench::new().await;
    let input = format!(
        "{SHOP}---\n{{\"key\": \"x\", \"package_name\": \"shop\", \"class_key\": \"Cart\"}}"
    );
    let ran = run_with("apply -f - --strict", &bench.environment(), &input).await;
    assert_eq!(ran.out, "package/shop created\ndeployment/x created\n", "{}", ran.err);
    let stored = bench.server.get("packages/shop").unwrap();
    assert_eq!(stored["version"], "1.0");
    assert_eq!(stored["functions"][0]["config"]["HTTP_PORT"], "08", "no zero is lost");
    assert_eq!(stored["functions"][0]["provision_config"]["port"], json!(80));
    assert_eq!(bench.server.requests("P"), ["POST apply?strict=true"]);
}

#[tokio::test]
async fn a_bundle_is_one_push() {
    let bench = Bench::new().await;
    bench.file("a-cart.yaml", CART);
    bench.file("b-shop.yml", SHOP);
    let answer = json!({
        "bundle": {"name": "prod"},
        "items": [
            {"kind": "Package", "name": "shop", "outcome": "replaced", "generation": 2, "at": "/0"},
            {"kind": "Deployment", "name": "shop.cart", "outcome": "created", "generation": 1,
                "at": "/1"},
            {"kind": "Deployment", "name": "old", "outcome": "deleted", "generation": 3},
        ],
        "warnings": [{"pointer": "/1/target_envs/0", "message": "there is no cluster east yet"}],
        "clusters": {"east": {"created": ["shop.cart"], "replaced": [], "removed": ["old"]}},
    });
    bench.server.answer("POST apply", 200, answer.clone());
    let ran = bench.run("apply -f {} --bundle prod --prune --source-commit abc").await;
    let want =
        "package/shop configured\ndeployment/shop.cart created\ndeployment/old deleted (pruned)\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
    assert!(
        ran.err.contains("a-cart.yaml: /target_envs/0: there is no cluster east yet"),
        "{}",
        ran.err
    );
    let sent = bench.server.requests("POST");
    assert_eq!(sent, ["POST apply?bundle=prod&source_commit=abc&prune=true"]);
    assert!(bench.server.requests("PUT").is_empty());

    bench.server.answer("POST apply", 200, answer);
    let ran = bench.run("diff -f {} --bundle prod --prune").await;
    assert_eq!(ran.code, exit::FAILED, "{}", ran.err);
    for line in [
        "pruned: deployment/old\n",
        "cluster east: created: shop.cart\ncluster east: removed: old\n",
    ] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    let refused = json!({"status": 409, "title": "Conflict", "code": "owned_by_other",
        "detail": "a document that is declared here belongs to someone else",
        "errors": [{"pointer": "/0/name", "message": "the package shop belongs to the bundle x"}]});
    bench.server.answer("POST apply", 409, refused);
    let ran = bench.run("apply -f {} --bundle prod").await;
    assert_eq!(ran.code, exit::FAILED);
    assert!(ran.err.contains("the package shop belongs to the bundle x"), "{}", ran.err);
    assert_eq!(bench.run("apply -f {} --prune").await.code, exit::USAGE);
}

#[tokio::test]
async fn allow_empty_is_sent_and_needs_prune() {
    let bench = Bench::new().await;
    bench.file("team.yaml", TEAM);
    let refused = json!({"status": 409, "title": "Conflict", "code": "bundle_emptied",
        "detail": "it would delete all 3 documents: allow it with --allow-empty"});
    bench.server.answer("POST apply", 409, refused);
    let ran = bench.run("apply -f {} --bundle prod --prune").await;
    assert_eq!(ran.code, exit::FAILED, "{}", ran.out);
    assert!(ran.err.contains("--allow-empty"), "{}", ran.err);
    assert_eq!(bench.server.get("role-bindings/team"), None, "nothing follows a refused push");
    bench.server.answer("POST apply", 200, json!({"items": []}));
    let ran = bench.run("apply -f {} --bundle prod --prune --allow-empty").await;
    assert_eq!(ran.code, exit::DONE, "{}", ran.err);
    let sent = bench.server.requests("POST");
    assert_eq!(sent.last().unwrap(), "POST apply?bundle=prod&prune=true&allow_empty=true");
    assert_eq!(bench.run("apply -f {} --bundle prod --allow-empty").await.code, exit::USAGE);
}

#[tokio::test]
async fn if_unchanged_is_a_condition_of_every_document() {
    let bench = Bench::new().await;
    bench.file("shop.yaml", SHOP);
    bench.file("team.yaml", TEAM);
    let ran = bench.run("apply -f {} --if-unchanged").await;
    assert_eq!(ran.code, exit::DONE, "{}", ran.err);
    let sent = bench.server.requests("P");
    let want = ["POST apply?if_unchanged=true", "PUT role-bindings/team?if_unchanged=true"];
    assert_eq!(sent, want);
    let refused = json!({"status": 412, "title": "Precondition Failed", "code": "precondition_failed",
        "detail": "a document was changed since it was read", "errors": [
            {"pointer": "/0/meta/resource_version", "message": "this was read at 7"}]});
    bench.server.answer("POST apply", 412, refused);
    let ran = bench.run("apply -f {}/shop.yaml --if-unchanged").await;
    assert_eq!(ran.code, exit::FAILED);
    assert!(
        ran.err.contains("shop.yaml: /meta/resource_version: this was read at 7"),
        "{}",
        ran.err
    );
}

/// What means the same is no difference.
#[tokio::test]
async fn diff_compares_lists_as_sets() {
    let bench = Bench::new().await;
    let shop = "{name: shop, classes: [{key: A}, {key: B}], functions: [{key: f}, {key: g}]}";
    bench.file("shop.yaml", shop);
    check(&bench, "apply -f {}", "package/shop created\n").await;
    let turned = "{name: shop, classes: [{key: B}, {key: A}], functions: [{key: g}, {key: f, \
                  provision_config: {min_scale: 1}}]}";
    bench.file("shop.yaml", turned);
    // The server's own opinion: unchanged as well.
    let unchanged = json!({"items": [{"kind": "Package", "name": "shop", "outcome": "unchanged",
        "generation": 1, "at": "/0"}]});
    bench.server.answer("POST apply", 200, unchanged);
    let ran = bench.run("diff -f {}").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, ""), "{}", ran.err);
}

#[tokio::test]
async fn splits_lists_of_deployments() {
    let bench = Bench::new().await;
    bench.file(
        "list.yaml",
        "name: shop\ndeployments: [{class_key: Cart}, {key: b, class_key: Cart}]",
    );
    check(&bench, "apply -f {}", "deployment/shop.Cart created\ndeployment/b created\n").await;
    assert_eq!(bench.server.get("packages/shop"), None, "no package is replaced by a list");
    assert_eq!(bench.server.get("deployments/b").unwrap()["package_name"], "shop");
}

#[tokio::test]
async fn sends_nothing_when_one_file_is_wrong() {
    let bench = Bench::new().await;
    bench.file("a.yaml", SHOP);
    bench.file("b.yaml", &CART.replace("shop.cart", "'not a key'").replace("Cart", "'-'"));
    bench.file("c.json", "{");
    bench.file("d.yaml", "hello: world");
    bench.file("e.yaml", SHOP);
    let ran = bench.run("apply -f {}").await;
    assert_eq!(ran.code, exit::FAILED);
    for want in [
        "b.yaml: /key: ",
        "b.yaml: /class_key: ",
        "c.json: ",
        "d.yaml: neither a package",
        "e.yaml: package/shop is declared in ",
        "error: 5 mistakes in the documents; nothing was sent",
    ] {
        assert!(ran.err.contains(want), "no {want:?} in {}", ran.err);
    }
    assert_eq!(bench.server.requests(""), [""; 0]);
}

#[tokio::test]
async fn warns_of_what_is_not_known() {
    let bench = Bench::new().await;
    bench.file("cart.yaml", &format!("{CART}colour: red\n"));
    let ran = bench.run("apply -f {}").await;
    assert_eq!(ran.code, exit::DONE);
    assert!(ran.err.contains("warning: ") && ran.err.contains("cart.yaml: /colour: "), "{ran:?}");
    assert!(ran.err.contains("cart.yaml: /deployments: not yet"), "the server's too: {ran:?}");
    let ran = bench.run("apply --strict -f {}").await;
    assert_eq!(ran.code, exit::FAILED);
    assert!(ran.err.contains("cart.yaml: /colour: "), "{ran:?}");
}

#[tokio::test]
async fn shows_a_difference_without_writing() {
    let bench = Bench::new().await;
    bench.file("shop.yaml", &format!("{SHOP}deployments: [{{class_key: Cart}}]\n"));
    check(&bench, "apply -f {}", "package/shop created\ndeployment/shop.Cart created\n").await;
    check(&bench, "diff -f {}", "").await;
    bench.file("shop.yaml", &SHOP.replace("version: 1.0", "version: 1.1"));
    bench.file("cart.yaml", CART);
    let ran = bench.run("diff -f {}").await;
    assert_eq!(ran.code, exit::FAILED, "{}", ran.err);
    for want in [
        "--- server/package/shop\n+++ pushed/package/shop\n",
        "-version: \"1.0\"\n+version: \"1.1\"\n",
        "--- /dev/null\n+++ pushed/deployment/shop.cart\n",
        "--- server/deployment/shop.Cart\n+++ /dev/null\n",
    ] {
        assert!(ran.out.contains(want), "no {want:?} in {}", ran.out);
    }
    check(
        &bench,
        "apply --dry-run -f {}",
        "package/shop configured (dry run)\n\
         deployment/shop.Cart deleted (no longer in the package) (dry run)\n\
         deployment/shop.cart created (dry run)\n",
    )
    .await;
    assert_eq!(bench.server.get("packages/shop").unwrap()["version"], "1.0", "the first apply's");
    assert_eq!(bench.run("diff -f {}/none.yaml").await.code, exit::USAGE);
}

#[tokio::test]
async fn reads_back_what_get_prints() {
    let bench = Bench::new().await;
    bench.file("shop.yaml", SHOP);
    bench.file("cart.yaml", CART);
    check(&bench, "apply -f {}", "package/shop created\ndeployment/shop.cart created\n").await;
    for words in ["get packages -o yaml", "get deployments -o json"] {
        let printed = bench.run(words).await.out;
        let ran = run_with("diff -f -", &bench.environment(), &printed).await;
        assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, ""), "{words}: {}", ran.err);
    }
}

const TEAM: &str = "{name: team, role: developer, groups: [shop], packages: [\"shop-*\"]}";

/// What is refused is told by file, and nothing is sent after it.
#[tokio::test]
async fn a_refusal_is_of_all_and_names_files() {
    let bench = Bench::new().await;
    bench.file("a.yaml", SHOP);
    bench.file("b.yaml", CART);
    bench.file("team.yaml", TEAM);
    let refused = json!({ "status": 409, "title": "Conflict", "code": "owned_by_other",
        "detail": "a document that is declared here belongs to someone else", "errors": [
            { "pointer": "/1/key", "message": "it is of x" },
            { "pointer": "", "message": "and more" }] });
    bench.server.answer("POST apply", 409, refused);
    let ran = bench.run("apply -f {}").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::FAILED, ""), "{}", ran.err);
    assert!(ran.err.contains("b.yaml: /key: it is of x\n"), "{}", ran.err);
    assert_eq!(bench.server.requests("P"), ["POST apply"]);
}

#[tokio::test]
async fn role_bindings_are_pushed_one_by_one() {
    let bench = Bench::new().await;
    bench.file("a-team.yaml", TEAM);
    bench.file("z-shop.yaml", SHOP);
    let dry = "package/shop created (dry run)\nrole-binding/team created (dry run)\n";
    check(&bench, "apply --dry-run -f {}", dry).await;
    assert_eq!(bench.server.get("role-bindings/team"), None);
    check(&bench, "apply -f {}", "package/shop created\nrole-binding/team created\n").await;
    assert_eq!(
        bench.server.requests("P"),
        ["POST apply?dry_run=true", "POST apply", "PUT role-bindings/team"]
    );
    check(&bench, "apply -f {}/a-team.yaml", "role-binding/team unchanged\n").await;
    let ran = bench.run("apply -f {}/a-team.yaml").await;
    assert!(ran.err.contains("a-team.yaml: /groups: not yet"), "{}", ran.err);
    check(&bench, "diff -f {}/a-team.yaml", "").await;
    bench.file("a-team.yaml", &TEAM.replace("developer", "deployer"));
    let ran = bench.run("diff -f {}/a-team.yaml").await;
    assert_eq!(ran.code, exit::FAILED);
    assert!(ran.out.contains("-role: developer\n+role: deployer\n"), "{}", ran.out);
    check(&bench, "apply -f {}/a-team.yaml", "role-binding/team configured\n").await;
    // What `get` prints can be applied.
    let printed = bench.run("get role-bindings -o yaml").await.out;
    let ran = run_with("apply -f -", &bench.environment(), &printed).await;
    assert_eq!(ran.out, "role-binding/team unchanged\n", "{}", ran.err);
    let forbidden = json!({ "status": 403, "code": "forbidden", "detail": "you may not" });
    bench.server.answer("PUT role-bindings/team", 403, forbidden);
    let ran = bench.run("apply -f {}").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::FAILED, "package/shop unchanged\n"));
    assert!(ran.err.ends_with("error: 1 of 2 failed\n"), "{}", ran.err);
}
