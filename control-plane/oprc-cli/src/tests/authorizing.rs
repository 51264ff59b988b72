//! `oprc auth`, and refusals for want of a token or a role.

use serde_json::json;

use super::*;

#[tokio::test]
async fn tells_who_one_is() {
    let bench = Bench::new().await;
    let who = |roles: serde_json::Value| {
        json!({ "subject": "ada", "groups": ["team", "x\u{1b}[2J"], "authenticated_by": "token",
            "roles": roles })
    };
    let roles = json!([{ "role": "developer", "packages": ["shop-*", "lib"] }]);
    bench.server.answer("GET whoami", 200, who(roles));
    let ran = bench.run("auth whoami").await;
    let want = "ada (token)\ngroups: team, x\u{fffd}[2J\nROLE       PACKAGES\n\
                developer  shop-*, lib\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{ran:?}");

    let bench = Bench::new().await;
    bench.server.answer("GET whoami", 200, who(json!([])));
    let ran = bench.run("auth whoami").await;
    assert!(ran.out.contains("no roles"), "{ran:?}");
}

#[tokio::test]
async fn the_exit_code_is_the_answer() {
    let bench = Bench::new().await;
    bench.server.answer("GET can-i", 200, json!({ "allowed": true }));
    let ran = bench.run("auth can-i update package shop").await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (exit::DONE, "yes\n", ""));
    let asked = bench.server.requests("GET can-i");
    assert_eq!(asked, ["GET can-i?verb=update&kind=packages&name=shop"]);

    let bench = Bench::new().await;
    let no = json!({ "allowed": false, "reason": "want the role deployer or admin" });
    bench.server.answer("GET can-i", 200, no);
    let ran = bench.run("auth can-i create deploy --package shop").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::FAILED, "no\n"));
    assert_eq!(ran.err, "want the role deployer or admin\n");
    for wrong in ["auth can-i eat packages", "auth can-i get gadgets", "auth can-i get"] {
        assert_eq!(bench.run(wrong).await.code, exit::USAGE, "{wrong}");
    }
}

#[tokio::test]
async fn explains_what_was_missing() {
    for (status, want) in [(401, "OPRC_TOKEN"), (403, "oprc auth whoami")] {
        let bench = Bench::new().await;
        let problem = json!({ "status": status, "code": "x", "detail": "want the role viewer" });
        bench.server.answer("GET packages/shop", status, problem);
        let ran = bench.run("get package shop").await;
        assert_eq!(ran.code, exit::FAILED);
        assert!(ran.err.contains("want the role viewer") && ran.err.contains(want), "{ran:?}");
    }
}
