//! The door: rates, addresses behind proxies, headers for browsers.

use std::{net::SocketAddr, time::Duration};

use axum::body::{Body, Bytes};
use futures::{FutureExt as _, stream};
use http::{HeaderValue, Method, Request};

use super::world::{Reply, World, package};
use crate::{Door, Limits, Peer, Rate, Rates, call::Subject};

/// A request from `address`, by `subject` as if authentication had found it.
async fn ask(
    world: &World,
    (address, subject): (&str, Option<&str>),
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let address = SocketAddr::new(address.parse().unwrap(), 4711);
    request.extensions_mut().insert(Peer { address, certificate_subject: None });
    if let Some(subject) = subject {
        request.extensions_mut().insert(Subject(subject.into()));
    }
    world.send(request).await
}

async fn limited(rates: Rates) -> World {
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    World::with_door(Limits::default(), Door { rates, trusted_proxies, ..Door::default() }).await
}

const RATE: Option<Rate> = Some(Rate { per_sec: 2, burst: 4 });
const READ: (Method, &str) = (Method::GET, "/api/v1/packages/none?consistency=cached");
const LIST: (Method, &str) = (Method::GET, "/api/v1/packages?consistency=cached");
const WRITE: (Method, &str) = (Method::DELETE, "/api/v1/packages/none");

/// How many of 100 requests are let in, and what the last refused one was told.
async fn n_let_in(world: &World, from: (&str, Option<&str>), what: (Method, &str)) -> usize {
    let mut n = 0;
    for _ in 0..100 {
        let reply = ask(world, from, what.clone(), &[]).await;
        if reply.status == 429 {
            reply.refused(429, "rate_limited");
            assert_eq!(reply.header("retry-after"), "1");
        } else {
            n += 1;
        }
    }
    n
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_address_is_its_own_trouble() {
    let world =
        limited(Rates { address_reads: RATE, address_writes: RATE, ..Rates::default() }).await;
    let (flood, other) = (("192.0.2.1", None), ("192.0.2.2", None));
    assert_eq!(n_let_in(&world, flood, WRITE).await, 4, "the burst");
    assert_eq!(ask(&world, flood, READ, &[]).await.status, 404, "it may still look");
    assert_eq!(ask(&world, flood, LIST, &[]).await.status, 200);
    assert_eq!(n_let_in(&world, flood, READ).await, 2, "lists and reads share what there is");
    assert_eq!(ask(&world, other, WRITE, &[]).await.status, 404);
    assert_eq!(ask(&world, other, READ, &[]).await.status, 404);
    for probe in ["/livez", "/readyz", "/healthz"] {
        for _ in 0..10 {
            assert_eq!(ask(&world, flood, (Method::GET, probe), &[]).await.status, 200);
        }
    }
    for limited in ["/metrics", "/openapi.json", "/docs", "/schemas/package.json"] {
        assert_eq!(ask(&world, flood, (Method::GET, limited), &[]).await.status, 429);
    }
    // Come back when told to.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(n_let_in(&world, flood, WRITE).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_subject_is_its_own_trouble() {
    let world = limited(Rates { subject_reads: RATE, subject_writes: RATE, ..Rates::default() });
    let world = world.await;
    let (flood, other) = (("192.0.2.1", Some("mallory")), ("192.0.2.1", Some("alice")));
    assert_eq!(n_let_in(&world, flood, WRITE).await, 4);
    assert_eq!(n_let_in(&world, ("192.0.2.9", Some("mallory")), WRITE).await, 0, "from anywhere");
    assert_eq!(n_let_in(&world, other, WRITE).await, 4);
    assert_eq!(n_let_in(&world, flood, READ).await, 4);
    assert_eq!(n_let_in(&world, ("192.0.2.1", None), READ).await, 100, "nobody is no subject");
}

#[tokio::test(start_paused = true)]
async fn who_is_behind_a_proxy_is_counted_by_itself() {
    let world = limited(Rates { address_writes: RATE, ..Rates::default() }).await;
    let via = |client: &'static str| [("x-forwarded-for", client)];
    for (proxy, clients, want) in [
        ("10.0.0.1", ["203.0.113.1", "203.0.113.2"], [404, 404]),
        // Not a proxy of ours: what it says of others is not believed.
        ("192.0.2.1", ["203.0.113.3", "203.0.113.4"], [404, 429]),
        ("10.0.0.1", ["2001:db8::1", "2001:db8::2"], [404, 429]),
    ] {
        for (client, want) in clients.into_iter().zip(want) {
            for _ in 0..3 {
                ask(&world, (proxy, None), WRITE, &via(client)).await;
            }
            let reply = ask(&world, (proxy, None), WRITE, &via(client)).await;
            assert_eq!(reply.status, want, "{proxy} {client}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_headers() {
    let door = Door { is_encrypted: true, ..Door::default() };
    let world = World::with_door(Limits::default(), door).await;
    let plain = World::new().await;
    world.put("/api/v1/packages/shop", package("shop")).await.is(201);
    plain.put("/api/v1/packages/shop", package("shop")).await.is(201);
    for (method, path, status) in [
        (Method::GET, "/api/v1/packages", 200),
        (Method::GET, "/api/v1/packages/shop", 200),
        (Method::HEAD, "/api/v1/packages/shop", 200),
        (Method::GET, "/api/v1/packages/none", 404),
        (Method::DELETE, "/api/v1/packages/shop", 202),
        (Method::POST, "/api/v1/packages", 400),
        (Method::PATCH, "/api/v1/packages", 405),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/livez", 200),
        (Method::GET, "/metrics", 200),
    ] {
        let reply = world.call(method.clone(), path, &[], "").await.is(status);
        for (name, want) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(reply.header(name), want, "{method} {path}: {name}");
        }
        assert!(["no-store", "no-cache"].contains(&reply.header("cache-control")), "{path}");
        let reply = plain.call(method, path, &[], "").await;
        assert_eq!(reply.header("strict-transport-security"), "", "without TLS it would lie");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_origins() {
    let allowed = "https://console.example.org";
    let allowed_origins = vec![HeaderValue::from_static(allowed)];
    let door = Door { allowed_origins, ..Door::default() };
    let open = World::with_door(Limits::default(), door).await;
    let closed = World::new().await;
    let preflight = |origin| [("origin", origin), ("access-control-request-method", "PUT")];
    for (world, origin, want) in [
        (&open, allowed, allowed),
        (&open, "https://evil.example.org", ""),
        (&open, "null", ""),
        (&closed, allowed, ""),
    ] {
        let path = "/api/v1/packages";
        let reply = world.call(Method::OPTIONS, path, &preflight(origin), "").await;
        assert_eq!(reply.header("access-control-allow-origin"), want, "{origin}");
        assert_eq!(reply.header("access-control-allow-credentials"), "");
        let is_told = reply.header("access-control-allow-methods").contains("PUT");
        assert_eq!(is_told, std::ptr::eq(world, &open), "{origin}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let reply = world.call(Method::GET, path, &[("origin", origin)], "").await.is(200);
        assert_eq!(reply.header("access-control-allow-origin"), want, "{origin}");
    }
}

/// Every write, with or without a body, as a page of another site can make a browser send it.
#[tokio::test]
async fn writes_for_pages_of_other_origins_are_refused() {
    let allowed = "https://console.example.org";
    let allowed_origins = vec![HeaderValue::from_static(allowed)];
    let world =
        World::with_door(Limits::default(), Door { allowed_origins, ..Door::default() }).await;
    let (host, own) = (("host", "localhost:8080"), "http://localhost:8080");
    let writes = crate::auth::routes::ROUTES.iter().flat_map(|(route, methods)| {
        let methods = methods.iter().map(|(does, _)| does.method());
        methods.filter(|method| *method != Method::GET).map(move |method| (method, *route))
    });
    for (method, route) in writes {
        let path = route.replace("{name}", "nothing").replace("{key}", "nothing");
        let send = |headers: Vec<(&'static str, &'static str)>| {
            let (world, path, method) = (&world, &path, method.clone());
            async move {
                let headers: Vec<_> = std::iter::once(host).chain(headers).collect();
                world.call(method, path, &headers, "{}").await
            }
        };
        for foreign in [
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site"), ("origin", "http://localhost:9000")],
            vec![("sec-fetch-site", "cross-site"), ("content-type", "application/json")],
            vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            vec![("origin", "http://evil.test")],
            vec![("origin", "http://localhost:9000")],
            vec![("origin", "null")],
            vec![("origin", own), ("origin", "http://evil.test")],
            vec![("origin", allowed), ("origin", "http://evil.test")],
        ] {
            send(foreign).await.refused(403, "cross_site_request");
        }
        for ours in [
            vec![],
            vec![("sec-fetch-site", "same-origin"), ("origin", own)],
            vec![("sec-fetch-site", "none")],
            vec![("origin", own)],
            vec![("sec-fetch-site", "cross-site"), ("origin", allowed)],
        ] {
            assert_ne!(send(ours).await.status, 403, "{method} {path}");
        }
        if method != Method::DELETE {
            for form in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"] {
                let reply = send(vec![("content-type", form)]).await;
                reply.refused(415, "unsupported_media_type");
            }
        }
    }
    // Reads are not refused: what they answer no such page can see.
    let headers = [host, ("sec-fetch-site", "cross-site"), ("origin", "http://evil.test")];
    world.call(Method::GET, "/api/v1/packages", &headers, "").await.is(200);
}

/// Without authentication, a name that somebody made to resolve to this machine is not served.
#[tokio::test]
async fn other_hosts_are_misdirected_without_authentication() {
    let allowed_hosts = vec!["pm.example.org".to_owned()];
    let named =
        World::with_door(Limits::default(), Door { allowed_hosts, ..Door::default() }).await;
    let open = World::new().await;
    let every = Door { allowed_hosts: vec!["*".to_owned()], ..Door::default() };
    let every = World::with_door(Limits::default(), every).await;
    let guarded = World::guarded(crate::auth::tests::guard()).await;
    for (host, is_served, is_named) in [
        ("localhost", true, true),
        ("LOCALHOST:8080", true, true),
        ("127.0.0.1:8080", true, true),
        ("127.1.2.3", true, true),
        ("[::1]:8080", true, true),
        ("[::ffff:127.0.0.1]", true, true),
        ("pm.example.org", false, true),
        ("PM.example.org:443", false, true),
        ("evil.test", false, false),
        ("evil.test:8080", false, false),
        ("localhost.evil.test", false, false),
        ("127.0.0.1.evil.test", false, false),
        ("192.0.2.1", false, false),
        ("0.0.0.0", false, false),
        ("user@localhost.evil.test", false, false),
    ] {
        let ask = async |world: &World, path: &str| {
            world.call(Method::GET, path, &[("host", host)], "").await
        };
        for path in ["/api/v1/packages", "/api/v1/nothing", "/metrics"] {
            for (world, is_served) in [(&open, is_served), (&named, is_named)] {
                let reply = ask(world, path).await;
                if is_served {
                    assert_ne!(reply.status, 421, "{host} {path}");
                } else {
                    reply.refused(421, "misdirected_request");
                }
            }
            assert_ne!(ask(&every, path).await.status, 421, "{host} {path}");
            assert_ne!(ask(&guarded, path).await.status, 421, "{host} {path}");
        }
        // Probes come under whatever name.
        ask(&open, "/livez").await.is(200);
        ask(&open, "/readyz").await.is(200);
    }
    // The target of a request may name a host, too.
    let path = "http://evil.test/api/v1/packages";
    let reply = open.call(Method::GET, path, &[("host", "localhost")], "").await;
    reply.refused(421, "misdirected_request");
}

/// Writes that fill their lane leave reads and probes alone, and the other way round.
#[tokio::test(start_paused = true)]
async fn lanes_do_not_starve_each_other() {
    for (limits, [write, read, list]) in [
        (Limits { max_writes: 0, ..Limits::default() }, [429, 404, 200]),
        (Limits { max_reads: 0, ..Limits::default() }, [404, 429, 200]),
        (Limits { max_lists: 0, ..Limits::default() }, [404, 404, 429]),
    ] {
        let world = World::with_limits(limits).await;
        for ((method, path), want) in [(WRITE, write), (READ, read), (LIST, list)] {
            world.call(method, path, &[], "").await.is(want);
        }
        world.get("/livez").await.is(200);
        world.get("/readyz").await.is(200);
    }
}

#[tokio::test(start_paused = true)]
async fn the_root_leads_to_the_page() {
    let world = World::new().await;
    let root = world.get("/").await.is(303);
    assert_eq!(root.header("location"), "docs");
    world.get("/docs").await.is(200);
    let missing = world.get("/api/v1/nothing").await.refused(404, "route_not_found");
    assert!(missing["detail"].as_str().unwrap().contains("/docs"), "{missing}");
}

/// A body that never comes.
fn silent() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

/// A request with `body` from `address`.
fn from(address: &str, (method, path): (Method, &str), body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("content-type", "application/json");
    let mut request = request.body(body).unwrap();
    let address = SocketAddr::new(address.parse().unwrap(), 4711);
    request.extensions_mut().insert(Peer { address, certificate_subject: None });
    request
}

#[tokio::test(start_paused = true)]
async fn silent_pushes_block_nobody() {
    let world = World::new().await;
    let apply = (Method::POST, "/api/v1/apply");
    let mut waiting: Vec<_> = (0..100)
        .map(|_| Box::pin(world.send(from("192.0.2.1", apply.clone(), silent()))))
        .collect();
    for silent in &mut waiting {
        assert!(silent.now_or_never().is_none(), "it waits for its body");
    }
    for address in ["192.0.2.1", "192.0.2.2"] {
        let body = Body::from(package("shop").to_string());
        world.send(from(address, apply.clone(), body)).await.is(200);
    }
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn one_address_takes_half_of_the_writes() {
    let world = World::with_limits(Limits { max_writes: 8, ..Limits::default() }).await;
    let write = (Method::PUT, "/api/v1/packages/shop");
    let mut waiting: Vec<_> =
        (0..4).map(|_| Box::pin(world.send(from("192.0.2.1", write.clone(), silent())))).collect();
    for silent in &mut waiting {
        assert!(silent.now_or_never().is_none(), "it waits for its body");
    }
    let body = || Body::from(package("shop").to_string());
    let reply = world.send(from("192.0.2.1", write.clone(), body())).await;
    let problem = reply.refused(429, "too_many_requests");
    assert_eq!(problem["detail"], "too many writes of one address are under way");
    world.send(from("192.0.2.2", write.clone(), body())).await.is(201);
    drop(waiting);
    world.send(from("192.0.2.1", write, body())).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn one_subject_takes_a_quarter_of_the_writes() {
    let world = World::with_limits(Limits { max_writes: 8, ..Limits::default() }).await;
    let write = (Method::PUT, "/api/v1/packages/shop");
    let of = |address: &str, subject: &str, body: Body| {
        let mut request = from(address, write.clone(), body);
        request.extensions_mut().insert(Subject(subject.into()));
        world.send(request)
    };
    let mut waiting = [
        Box::pin(of("192.0.2.1", "mallory", silent())),
        Box::pin(of("192.0.2.2", "mallory", silent())),
    ];
    for silent in &mut waiting {
        assert!(silent.now_or_never().is_none(), "it waits for its body");
    }
    let body = || Body::from(package("shop").to_string());
    let reply = of("192.0.2.3", "mallory", body()).await;
    let problem = reply.refused(429, "too_many_requests");
    assert_eq!(problem["detail"], "too many writes of one subject are under way");
    of("192.0.2.1", "alice", body()).await.is(201);
}

/// What bodies take in memory is bounded, and half of it is for others.
#[tokio::test(start_paused = true)]
async fn bodies_that_do_not_end_leave_room_for_others() {
    let limits = Limits { max_bytes: 64 << 10, ..Limits::default() };
    let world = World::with_limits(limits).await;
    let write = (Method::POST, "/api/v1/apply");
    let endless = || {
        let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 16 << 10]))]);
        Body::from_stream(futures::StreamExt::chain(begun, stream::pending()))
    };
    let mut waiting: Vec<_> =
        (0..2).map(|_| Box::pin(world.send(from("192.0.2.1", write.clone(), endless())))).collect();
    for silent in &mut waiting {
        assert!(silent.now_or_never().is_none(), "it waits for the rest of its body");
    }
    let body = || Body::from(package("shop").to_string());
    world.send(from("192.0.2.1", write.clone(), body())).await.refused(429, "too_many_requests");
    world.send(from("192.0.2.2", write.clone(), body())).await.is(200);
    drop(waiting);
    world.send(from("192.0.2.1", write, body())).await.is(200);
}
