//! `get`, `describe`.

use serde_json::{Value, json};

use super::*;

fn fill(bench: &Bench) {
    let meta = json!({ "generation": 3, "created_at": BIRTH, "uid": "u" });
    let ready = json!([{ "type": "Ready", "status": "False", "reason": "DependencyMissing",
        "message": "no package auth", "observed_generation": 3, "last_transition_time": BIRTH }]);
    let put = |path: &str, document| bench.server.put(path, document);
    put(
        "packages/shop",
        json!({ "name": "shop", "version": "1.0", "classes": [{ "key": "Cart" }],
        "functions": [{ "key": "add" }, { "key": "remove" }], "dependencies": ["auth"],
        "meta": meta, "status": { "conditions": ready } }),
    );
    put("packages/auth", json!({ "name": "auth", "meta": meta }));
    put("packages/zoo", json!({ "name": "zoo" }));
    put(
        "deployments/shop.cart",
        json!({ "key": "shop.cart", "package_name": "shop",
        "class_key": "Cart", "labels": { "tier": "1" }, "meta": meta, "status": {
            "condition": "DEPLOYING", "observed_generation": 3, "conditions": ready, "clusters": [
                { "cluster": "east", "unit_id": "cart-1", "desired": "PRESENT", "generation": 5,
                  "observed_generation": 5, "condition": "RUNNING", "reason": "Running",
                  "functions": [{ "function_key": "add", "ready": true, "replicas_ready": 2 }] },
                { "cluster": "west", "unit_id": "cart-2", "desired": "PRESENT", "generation": 5,
                  "condition": "DOWN", "reason": "Refused", "message": "image not allowed" }] } }),
    );
    put(
        "clusters/east",
        json!({ "name": "east", "endpoints": ["http://east:1"], "meta": meta,
        "status": { "connectivity": "CONNECTED", "breaker": "CLOSED", "unmanaged_records": 2,
            "health": { "cluster_name": "east", "status": "HEALTHY", "crm_version": "0.1.0",
                "node_count": 3, "ready_nodes": 2, "features": ["watch"] } } }),
    );
    put(
        "deployment-records/cart-1",
        json!({ "id": "cart-1", "cluster": "east", "managed": true,
        "deployment_key": "shop.cart", "observed_at": BIRTH, "stale": false,
        "record": { "generation": 5, "status": { "condition": "RUNNING", "phase": "Up" } } }),
    );
    put(
        "classes/a",
        json!({ "key": "Cart", "package_name": "shop", "function_bindings": [{}],
        "state_spec": { "consistency_model": "STRONG", "persistent": true } }),
    );
    put("classes/b", json!({ "key": "Cart", "package_name": "mall" }));
    put(
        "functions/a",
        json!({ "key": "add", "package_name": "shop", "function_type": "CUSTOM",
        "provision_config": { "container_image": "shop/add:1" } }),
    );
}

/// The one place that prints: `want` is standard output.
#[track_caller]
fn check(ran: &Ran, want: &str) {
    assert_eq!((ran.code, ran.out.as_str()), (exit::DONE, want), "{}", ran.err);
}

#[tokio::test]
async fn prints_tables() {
    let bench = Bench::new().await;
    fill(&bench);
    check(
        &bench.run("get pkg").await,
        "NAME  VERSION  CLASSES  FUNCTIONS  READY  AGE\n\
         auth  -        0        0          -      12h\n\
         shop  1.0      1        2          False  12h\n\
         zoo   -        0        0          -      -\n",
    );
    check(
        &bench.run("get deployments").await,
        "KEY        PACKAGE  CLASS  CONDITION  CLUSTERS  GENERATION  AGE\n\
         shop.cart  shop     Cart   DEPLOYING  1/2       3           12h\n",
    );
    check(
        &bench.run("get deploy/shop.cart -o wide").await,
        "KEY        PACKAGE  CLASS  CONDITION  CLUSTERS  GENERATION  OBSERVED  VERSION  ON         REASON             LABELS  AGE\n\
         shop.cart  shop     Cart   DEPLOYING  1/2       3           3         -        east,west  DependencyMissing  tier=1  12h\n",
    );
    check(
        &bench.run("get cl").await,
        "NAME  STATUS     BREAKER  HEALTH   NODES  VERSION  AGE\n\
         east  CONNECTED  CLOSED   HEALTHY  2/3    0.1.0    12h\n",
    );
    check(
        &bench.run("get rec").await,
        "ID      DEPLOYMENT  CLUSTER  CONDITION  GENERATION  STALE  AGE\n\
         cart-1  shop.cart   east     RUNNING    5           false  12h\n",
    );
    check(
        &bench.run("get class shop.Cart").await,
        "KEY   PACKAGE  METHODS  CONSISTENCY  PERSISTENT\n\
         Cart  shop     1        STRONG       true\n",
    );
    check(
        &bench.run("get functions").await,
        "KEY  PACKAGE  TYPE    CODE\nadd  shop     CUSTOM  shop/add:1\n",
    );
}

/// What a cluster said before it fell silent is not shown as so, whatever the server passes on.
#[tokio::test]
async fn health_of_a_silent_cluster_is_unknown() {
    let bench = Bench::new().await;
    let health = json!({ "cluster_name": "east", "status": "HEALTHY", "crm_version": "0.1.0",
        "node_count": 3, "ready_nodes": 3 });
    for connectivity in ["UNREACHABLE", "UNAUTHORIZED", "MISIDENTIFIED", "UNKNOWN"] {
        let status = json!({ "connectivity": connectivity, "breaker": "OPEN", "health": health });
        bench.server.put("clusters/east", json!({ "name": "east", "status": status }));
        for words in ["get clusters", "get cluster east", "get cl -o wide", "describe cluster east"]
        {
            let ran = bench.run(words).await;
            assert!(!ran.out.contains("HEALTHY") && !ran.out.contains("3/3"), "{words}: {ran:?}");
            assert!(!ran.out.contains("Ready nodes"), "{words}: {ran:?}");
            assert!(ran.out.contains("UNKNOWN"), "{words}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn deployments_are_counted_and_marked() {
    let bench = Bench::new().await;
    let refused = json!([{ "type": "Progressing", "status": "False", "reason": "Refused" }]);
    let deployment = |key: &str, meta: Value, conditions: Value| {
        let parts = json!([{ "cluster": "east", "desired": "PRESENT", "condition": "RUNNING" }]);
        json!({ "key": key, "package_name": "p", "class_key": "C", "meta": meta, "status": {
            "condition": "RUNNING", "conditions": conditions, "clusters": parts,
            "running_clusters": 1, "wanted_clusters": 2 } })
    };
    let paused = json!({ "generation": 1, "paused_at": BIRTH });
    bench.server.put("deployments/a", deployment("a", json!({ "generation": 1 }), json!([])));
    bench.server.put("deployments/b", deployment("b", paused, json!([])));
    bench.server.put("deployments/c", deployment("c", json!({ "generation": 1 }), refused));
    check(
        &bench.run("get deployments").await,
        "KEY  PACKAGE  CLASS  CONDITION          CLUSTERS  GENERATION  AGE\n\
         a    p        C      RUNNING            1/2       1           -\n\
         b    p        C      RUNNING (paused)   1/2       1           -\n\
         c    p        C      RUNNING (refused)  1/2       1           -\n",
    );
    let ran = bench.run("describe deployment b").await;
    assert!(ran.out.contains("Condition:     RUNNING (paused)\n"), "{ran:?}");
    assert!(ran.out.contains("Paused:        2026-05-01T00:00:00Z (12h ago)\n"), "{ran:?}");
}

/// Events of an earlier incarnation of a name are not those of the present one.
#[tokio::test]
async fn describes_the_present_incarnation() {
    let bench = Bench::new().await;
    fill(&bench);
    let event = |reason: &str, uid: Option<&str>, last: &str| {
        json!({ "about": "deployment/shop.cart", "reason": reason, "severity": "NORMAL",
            "uid": uid, "count": 1, "first": last, "last": last, "message": "" })
    };
    let before = "2026-04-30T23:00:00Z";
    bench.server.put("events/a", event("Sent", Some("u"), BIRTH));
    bench.server.put("events/b", event("Gone", Some("an earlier one"), BIRTH));
    bench.server.put("events/c", event("OldFormat", None, BIRTH));
    bench.server.put("events/d", event("OldFormatBefore", None, before));
    let ran = bench.run("describe deployment shop.cart").await;
    let (_, events) = ran.out.split_once("Events:").unwrap();
    assert!(events.contains("Sent") && events.contains("OldFormat "), "{events}");
    assert!(!events.contains("Gone") && !events.contains("OldFormatBefore"), "{events}");
    let ran = bench.run("events --about deployment/shop.cart").await;
    assert!(ran.out.contains("Gone"), "all of them are there to be asked for: {ran:?}");
}

#[tokio::test]
async fn prints_for_programs() {
    let bench = Bench::new().await;
    fill(&bench);
    let list = bench.run("get packages -o json").await;
    let list: serde_json::Value = serde_json::from_str(&list.out).unwrap();
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["auth", "shop", "zoo"], "all pages");
    assert_eq!(list.as_object().unwrap().len(), 1);

    check(&bench.run("get package zoo -o json").await, "{\n  \"name\": \"zoo\"\n}\n");
    check(&bench.run("get packages -o name").await, "package/auth\npackage/shop\npackage/zoo\n");
    check(&bench.run("get packages -o name --limit 1").await, "package/auth\n");
    let yaml = bench.run("get package/shop -o yaml").await.out;
    assert!(yaml.contains("version: \"1.0\"\n") && yaml.contains("generation: 3\n"), "{yaml}");

    let none = bench.run("get records --cluster west -o json").await;
    assert_eq!(none.code, exit::DONE);
    let asked = bench.server.requests("GET deployment-records");
    assert_eq!(asked, ["GET deployment-records?cluster=west&limit=500"]);

    let gone = bench.run("get package gone -o json").await;
    assert_eq!((gone.code, gone.out.as_str()), (exit::FAILED, ""));
    assert!(gone.err.contains("package/gone: there is no such thing (404, not_found)"), "{gone:?}");
}

#[tokio::test]
async fn says_when_there_is_nothing() {
    let bench = Bench::new().await;
    let ran = bench.run("get records").await;
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (exit::DONE, "", "no records found\n")
    );
    check(&bench.run("get records -o json").await, "{\n  \"items\": []\n}\n");
}

#[tokio::test]
async fn describes() {
    let bench = Bench::new().await;
    fill(&bench);
    check(
        &bench.run("describe deployment shop.cart").await,
        "Key:           shop.cart\n\
         Package:       shop\n\
         Class:         Cart\n\
         Condition:     DEPLOYING\n\
         Generation:    3\n\
         Created:       2026-05-01T00:00:00Z (12h ago)\n\
         Uid:           u\n\
         Labels:        tier=1\n\
         Observed:      3\n\
         \n\
         Conditions:\n  \
           TYPE   STATUS  REASON             AGE  MESSAGE\n  \
           Ready  False   DependencyMissing  12h  no package auth\n\
         \n\
         Clusters:\n  \
           CLUSTER  DESIRED  CONDITION  GENERATION  OBSERVED  UNIT    REASON   MESSAGE\n  \
           east     PRESENT  RUNNING    5           5         cart-1  Running  -\n  \
           west     PRESENT  DOWN       5           -         cart-2  Refused  image not allowed\n\
         \n\
         Functions:\n  \
           CLUSTER  FUNCTION  READY  REPLICAS  URL  REASON  MESSAGE\n  \
           east     add       true   2         -    -       -\n",
    );
    for (words, want) in [
        ("describe pkg/shop", "Functions:\n  KEY     TYPE"),
        ("describe cluster east", "Ready nodes:   2\n"),
        ("describe record cart-1", "Phase:         Up\n"),
        ("describe class mall.Cart", "Package:       mall\n"),
        ("describe function add", "Image:         shop/add:1\n"),
    ] {
        let ran = bench.run(words).await;
        assert!(ran.out.contains(want), "{words}: {ran:?}");
    }
    let ran = bench.run("describe class Cart").await;
    assert!(ran.err.contains("one of several: shop.Cart, mall.Cart"), "{ran:?}");
}

#[tokio::test]
async fn tells_events() {
    let bench = Bench::new().await;
    fill(&bench);
    let event = |reason: &str, severity: &str, last: &str, message: &str| {
        json!({ "about": "deployment/shop.cart", "reason": reason, "severity": severity,
            "count": 4, "first": BIRTH, "last": last, "message": message })
    };
    let put = |name: &str, event| bench.server.put(&format!("events/{name}"), event);
    put("a", event("Refused", "WARNING", "2026-05-01T02:00:00Z", "no room\nhere"));
    put("b", event("Sent", "NORMAL", BIRTH, ""));
    // The newest last.
    check(
        &bench.run("events").await,
        "ABOUT                 LAST  TYPE     REASON   COUNT  MESSAGE\n\
         deployment/shop.cart  12h   Normal   Sent     4      -\n\
         deployment/shop.cart  10h   Warning  Refused  4      no room here\n",
    );
    let ran = bench.run("describe deployment shop.cart").await;
    assert!(ran.out.contains("\nEvents:\n  LAST  TYPE"), "{ran:?}");
    let ran = bench.run("events --about deploy/shop.cart").await;
    assert!(ran.code == exit::DONE && ran.out.contains("Refused"), "{ran:?}");
    let ran = bench.run("events --about class/Cart").await;
    assert!(ran.code == exit::USAGE && ran.err.contains("no events about a class"), "{ran:?}");
}

/// Prints what is there, then what changes; ends when the one thing asked for is gone.
#[tokio::test]
async fn watches() {
    let bench = Bench::new().await;
    bench.server.answer("GET packages/zoo", 200, json!({ "name": "zoo" }));
    bench.server.answer("GET packages/zoo", 200, json!({ "name": "zoo", "version": "2" }));
    bench.server.answer("GET packages/zoo", 404, json!({ "status": 404, "code": "not_found" }));
    check(
        &bench.run("get package zoo -w -o json").await,
        "{\"object\":{\"name\":\"zoo\"},\"type\":\"ADDED\"}\n\
         {\"object\":{\"name\":\"zoo\",\"version\":\"2\"},\"type\":\"MODIFIED\"}\n\
         {\"object\":{\"name\":\"zoo\",\"version\":\"2\"},\"type\":\"DELETED\"}\n",
    );
}

/// One event, as the server sends it.
fn event(what: &str, id: &str, data: &Value) -> String {
    let id = if id.is_empty() { String::new() } else { format!("id: {id}\n") };
    format!("event: {what}\n{id}data: {data}\n\n")
}

#[tokio::test]
async fn watches_are_resumed_and_begun_again() {
    let bench = Bench::new().await;
    let zoo = |version: &str| json!({ "object": { "name": "zoo", "version": version } });
    let other = json!({ "object": { "name": "zoo2" } });
    let complete = json!({ "revision": 7, "initial_complete": true });
    let streams = [
        event("ADDED", "", &zoo("1"))
            + &event("ADDED", "", &other)
            + &event("BOOKMARK", "7", &complete)
            + &event("MODIFIED", "8.0", &zoo("2")),
        event("BOOKMARK", "9", &json!({ "revision": 9 })) + &event("ERROR", "", &json!({})),
        event("ADDED", "", &zoo("3")) + &event("BOOKMARK", "20", &complete),
        event("MODIFIED", "21", &other) + &event("DELETED", "22", &zoo("3")),
    ];
    for stream in streams {
        bench.server.answer("GET packages", 200, stream.into());
    }
    check(
        &bench.run("get package zoo -w -o json").await,
        "{\"object\":{\"name\":\"zoo\",\"version\":\"1\"},\"type\":\"ADDED\"}\n\
         {\"object\":{\"name\":\"zoo\",\"version\":\"2\"},\"type\":\"MODIFIED\"}\n\
         {\"object\":{\"name\":\"zoo\",\"version\":\"3\"},\"type\":\"MODIFIED\"}\n\
         {\"object\":{\"name\":\"zoo\",\"version\":\"3\"},\"type\":\"DELETED\"}\n",
    );
    assert_eq!(bench.server.requests("GET"), ["GET packages?name=zoo&watch=true"; 4]);
}

#[tokio::test]
async fn prints_schemas_without_a_server() {
    for (kind, required) in
        [("package", "name"), ("deployment", "class_key"), ("deployments", "deployments")]
    {
        let ran = run_with(&format!("schema {kind}"), &Environment::default(), "").await;
        let schema: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(schema["required"].as_array().unwrap().contains(&json!(required)), "{schema:#}");
    }
    let ran = run_with("schema cluster", &Environment::default(), "").await;
    assert_eq!(ran.code, exit::USAGE);
    assert!(
        ran.err.contains("want one of package, deployment, deployments, role-binding"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn shows_bundles_and_role_bindings() {
    let bench = Bench::new().await;
    let source = json!({ "repository": "git/shop", "commit": "c0ffee" });
    bench.server.put(
        "bundles/prod",
        json!({ "name": "prod", "generation": 7, "created_at": BIRTH, "updated_at": BIRTH,
            "n_packages": 1, "n_deployments": 2, "written_by": "ci", "source": source,
            "documents": [{ "kind": "Package", "name": "shop" }] }),
    );
    bench.server.put(
        "role-bindings/team",
        json!({ "name": "team", "role": "developer", "groups": ["shop"], "packages": ["shop-*"],
            "meta": { "generation": 1, "created_at": BIRTH, "written_by": "root" } }),
    );
    check(
        &bench.run("get bundles").await,
        "NAME  PACKAGES  DEPLOYMENTS  SOURCE           BY  AGE\n\
         prod  1         2            git/shop@c0ffee  ci  12h\n",
    );
    check(
        &bench.run("get rb").await,
        "NAME  ROLE       SUBJECTS  GROUPS  PACKAGES  AGE\n\
         team  developer  -         shop    shop-*    12h\n",
    );
    check(&bench.run("get bundle prod -o name").await, "bundle/prod\n");
    for (words, want) in [
        ("describe bundle prod", "Documents:\n  KIND     NAME\n  Package  shop\n"),
        ("describe bundle/prod", "Source:        git/shop@c0ffee\n"),
        ("describe role-binding team", "Packages:      shop-*\n"),
        ("describe rb/team", "By:            root\n"),
    ] {
        let ran = bench.run(words).await;
        assert!(ran.code == exit::DONE && ran.out.contains(want), "{words}: {ran:?}");
    }
    let ran = bench.run("get role-bindings --package shop").await;
    assert_eq!(ran.code, exit::USAGE, "{ran:?}");
}

/// That events could not be asked for is not told as if there were none.
#[tokio::test]
async fn describes_without_events() {
    let bench = Bench::new().await;
    fill(&bench);
    let refused =
        json!({ "status": 403, "code": "forbidden", "detail": "you may not list events" });
    bench.server.answer("GET events", 403, refused);
    let ran = bench.run("describe package shop").await;
    assert_eq!(ran.code, exit::DONE, "{ran:?}");
    assert!(ran.out.contains("Events:        not known: "), "{}", ran.out);
    assert!(ran.out.contains("you may not list events"), "{}", ran.out);
    let ran = bench.run("describe package shop").await;
    assert!(!ran.out.contains("not known"), "{}", ran.out);
}

#[tokio::test]
async fn selectors_are_sent_as_they_were_read() {
    let bench = Bench::new().await;
    fill(&bench);
    for (selector, want) in
        [("a=1,b==2", "a%3D1%2Cb%3D2"), ("a!=1", "a%21%3D1"), ("a,!b", "a%2C%21b")]
    {
        let ran = bench.run(&format!("get deployments -o name --bundle prod -l {selector}")).await;
        assert_eq!(ran.code, exit::DONE, "{selector}: {ran:?}");
        let asked = bench.server.requests("GET deployments").pop().unwrap();
        assert_eq!(asked, format!("GET deployments?label={want}&bundle=prod&limit=500"));
    }
    // An empty selector must not show everything.
    let ran = bench.run("get deployments --label=").await;
    assert!(ran.code == exit::USAGE && ran.err.contains("selector is empty"), "{ran:?}");
}
