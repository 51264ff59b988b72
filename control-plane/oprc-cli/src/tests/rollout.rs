//! `rollout history`, `diff`, `undo`, `pause`, `resume` and `restart`.

use serde_json::json;

use super::*;

/// A server that has two revisions of `deployments/a`.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    let line = |generation: u64, current: bool| {
        json!({
            "generation": generation, "current": current, "uid": "u", "updated_at": BIRTH,
            "written_by": "ci", "source": { "repository": "git/a", "commit": "c0ffee" },
            "correlation_id": "run-7",
        })
    };
    let revision = |tier: &str| json!({ "key": "a", "labels": { "tier": tier }, "meta": {}, "current": false });
    bench.server.put("deployments/a/revisions/2", revision("silver"));
    bench.server.put("deployments/a/revisions/4", revision("gold"));
    bench
        .server
        .put("deployments/a/revisions", json!({ "items": [line(4, true), line(2, false)] }));
    bench
}

#[tokio::test]
async fn tells_what_was() {
    let bench = bench().await;
    let ran = bench.run("rollout history deployment a").await;
    let want = "GENERATION  CURRENT  BY  SOURCE        NOTE  AGE\n\
                4           *        ci  git/a@c0ffee  -     12h\n\
                2                    ci  git/a@c0ffee  -     12h\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
    let ran = bench.run("rollout history deploy/a -o wide").await;
    assert!(ran.out.contains("run-7"), "{ran:?}");
    let ran = bench.run("rollout history deploy/a --revision 2").await;
    assert!(ran.out.contains("tier: silver") && !ran.out.contains("meta"), "{ran:?}");
    let ran = bench.run("rollout history deploy/a --revision 3").await;
    assert_eq!(ran.code, exit::FAILED, "{ran:?}");
    let ran = bench.run("rollout history cluster east").await;
    assert!(ran.code == exit::USAGE && ran.err.contains("no history is kept"), "{ran:?}");
}

#[tokio::test]
async fn tells_what_is_published() {
    let bench = Bench::new().await;
    let line = |version: &str, current: bool| {
        json!({
            "version": version, "current": current, "in_use": true, "created_at": BIRTH,
            "content_hash": "c0ffee",
        })
    };
    let items = json!({ "items": [line("2.0.0", true), line("1.0.0", false)] });
    bench.server.put("packages/shop/versions", items);
    let ran = bench.run("package versions shop").await;
    let want = "VERSION  CURRENT  IN USE  AGE\n2.0.0    *        *       12h\n1.0.0             *       12h\n";
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
    assert_eq!(bench.run("package versions shop -o name").await.out, "2.0.0\n1.0.0\n");
    assert!(bench.run("package versions shop -o wide").await.out.contains("c0ffee"));

    let one = json!({ "name": "shop", "version": "1.0", "published": line("1.0.0", false) });
    bench.server.answer("GET packages/shop", 200, one);
    let ran = bench.run("get package shop --version 1.0 -o yaml").await;
    assert!(ran.code == exit::DONE && ran.out.contains("version: \"1.0\""), "{ran:?}");
    for words in ["get packages --version 1", "get deployment a --version 1"] {
        let ran = bench.run(words).await;
        assert!(ran.code == exit::USAGE && ran.err.contains("want one package"), "{ran:?}");
    }
}

#[tokio::test]
async fn shows_what_changed() {
    let bench = bench().await;
    let ran = bench.run("rollout diff deployment a").await;
    assert_eq!(ran.code, exit::FAILED, "{ran:?}");
    assert!(ran.out.starts_with("--- generation 2/deployment/a\n+++ generation 4/"), "{ran:?}");
    assert!(ran.out.contains("\n-  tier: silver\n+  tier: gold\n"), "{ran:?}");
    let ran = bench.run("rollout diff deployment a --from 4 --to 4").await;
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, ""), "{}", ran.err);
    let ran = bench.run("rollout diff deployment a --to 2").await;
    assert!(ran.code == exit::USAGE && ran.err.contains("never anything else"), "{ran:?}");
}

#[tokio::test]
async fn brings_back_what_was() {
    let bench = bench().await;
    let answer = || json!({ "key": "a", "meta": { "generation": 5 } });
    for words in ["rollout undo deployment a", "rollout undo deploy/a --to-revision 2"] {
        bench.server.answer("POST deployments/a/rollback", 200, answer());
        let ran = bench.run(words).await;
        let want = "deployment/a is as it was at generation 2, as generation 5\n";
        assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{words}: {}", ran.err);
    }
    let gone = json!({ "status": 404, "code": "revision_not_found", "detail": "there are 2, 4" });
    bench.server.answer("POST deployments/a/rollback", 404, gone);
    let ran = bench.run("rollout undo deploy/a --to-revision 1").await;
    assert!(ran.code == exit::FAILED && ran.err.contains("there are 2, 4"), "{ran:?}");
    let only = json!({ "items": [{ "generation": 1, "current": true }] });
    bench.server.put("packages/p/revisions", only);
    let ran = bench.run("rollout undo package p").await;
    assert!(ran.code == exit::USAGE && ran.err.contains("nothing is kept"), "{ran:?}");
}

#[tokio::test]
async fn pauses_resumes_and_restarts() {
    let bench = bench().await;
    for (what, told) in [
        ("pause", "deployment/a paused\n"),
        ("resume", "deployment/a resumed\n"),
        ("restart", "deployment/a restarted as generation 5\n"),
    ] {
        let answer = json!({ "key": "a", "meta": { "generation": 5 } });
        bench.server.answer(&format!("POST deployments/a/{what}"), 200, answer);
        let ran = bench.run(&format!("rollout {what} deployment a")).await;
        assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, told), "{}", ran.err);
        let ran = bench.run(&format!("rollout {what} package a")).await;
        assert!(ran.code == exit::USAGE && ran.err.contains("want a deployment"), "{ran:?}");
    }
}
