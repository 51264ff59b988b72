//! The door of the real program: TLS and its certificates, a flood of one caller, the audit log, and
//! that no secret is told anywhere.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair, SanType};
use reqwest::{Certificate, Client, Identity, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Api, Backend, PATIENCE, Process, World, client, eventually, free_port, run};

/// An authority, and the certificates that it gives out.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for 127.0.0.1 and for `uri`, and its key, in PEM.
    fn issue(&self, uri: Option<&str>) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "test");
        let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uri);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A Package Manager over TLS, and what its clients need.
struct Encrypted {
    url: String,
    process: Process,
    authority: Authority,
    world: World,
}

impl Encrypted {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let mut world = World::without_pm(Backend::Embedded, &[]).await;
        let authority = Authority::new();
        let (cert, key) = authority.issue(None);
        for (name, file, pem) in [
            ("OPRC_PM_SERVER_TLS_CERT_PATH", "cert.pem", &cert),
            ("OPRC_PM_SERVER_TLS_KEY_PATH", "key.pem", &key),
            ("OPRC_PM_SERVER_TLS_CLIENT_CA_PATH", "ca.pem", &authority.0.pem()),
        ] {
            let path = world.folder.path().join(file);
            fs::write(&path, pem).unwrap();
            world.set(name, path.to_str().unwrap());
        }
        for (name, value) in settings {
            world.set(name, value);
        }
        let port = free_port();
        let log = world.folder.path().join("pm.log");
        let process = Process::start("oprc-pm", &world.variables(port), &log);
        let it = Self { url: format!("https://127.0.0.1:{port}"), process, authority, world };
        let api = it.client(Some(&it.authority.issue(None)));
        eventually("ready", || async {
            let answer = api.get(format!("{}/readyz", it.url)).send().await;
            answer
                .map_err(|err| format!("{err:?}"))?
                .error_for_status()
                .map_err(|err| err.to_string())
        })
        .await;
        it
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    /// A client that trusts the server, and shows `identity`.
    fn client(&self, identity: Option<&(String, String)>) -> Client {
        let trusted = Certificate::from_pem(self.authority.0.pem().as_bytes()).unwrap();
        let mut builder = client().tls_certs_only([trusted]).no_proxy();
        if let Some((cert, key)) = identity {
            let pem = format!("{cert}{key}");
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).unwrap());
        }
        builder.timeout(PATIENCE).build().unwrap()
    }

    async fn status(&self, client: &Client) -> Option<StatusCode> {
        let answer = client.get(format!("{}/api/v1/packages", self.url)).send().await;
        answer.ok().map(|answer| answer.status())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_client_certificates() {
    let it = Encrypted::start(&[("OPRC_PM_LOG_LEVEL", "info,oprc_http=debug")]).await;
    let right = it.authority.issue(Some("spiffe://cluster.local/ns/shop/sa/ci"));
    let wrong = Authority::new().issue(None);
    let open = it.client(Some(&right));
    assert_eq!(it.status(&open).await, Some(StatusCode::OK));
    assert_eq!(it.status(&it.client(Some(&wrong))).await, None, "of another authority");
    assert_eq!(it.status(&it.client(None)).await, None, "certificates are required");

    // Who speaks without encryption is told, and so is the log.
    let plain = Api::new(it.url.replace("https:", "http:"));
    assert_eq!(plain.get("/api/v1/packages").await.status, 400);
    eventually("told in the log", || async {
        let log = it.process.output();
        if log.contains("want an https URL") { Ok(()) } else { Err(log) }
    })
    .await;

    // Another authority's certificate takes the old one's place, while a connection is open.
    let next = Authority::new();
    let (cert, key) = next.issue(None);
    fs::write(it.path("cert.pem"), cert).unwrap();
    fs::write(it.path("key.pem"), key).unwrap();
    eventually("the new certificate is shown", || async {
        // A client of its own makes a connection of its own.
        match it.status(&it.client(Some(&right))).await {
            None => Ok(()),
            Some(status) => Err(status),
        }
    })
    .await;
    assert_eq!(it.status(&open).await, Some(StatusCode::OK), "the open one goes on");
}

/// A certificate names its caller through the whole stack: TLS, roles, what is stored, the audit log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_name_callers() {
    let [root, robot] =
        ["ops/sa/root", "shop/sa/ci"].map(|it| format!("spiffe://cluster.local/ns/{it}"));
    let folder = tempfile::TempDir::new().unwrap();
    let audit = folder.path().join("audit.log");
    let it = Encrypted::start(&[
        ("OPRC_PM_SERVER_TLS_CLIENT_AUTH", "optional"),
        ("OPRC_PM_AUTH_MODE", "jwt"),
        ("OPRC_PM_AUTH_ISSUER", "nobody"),
        ("OPRC_PM_AUTH_JWT_SECRET", "a secret of more than thirty-two bytes"),
        ("OPRC_PM_AUTH_ADMINS", &root),
        ("OPRC_PM_AUDIT_LOG", audit.to_str().unwrap()),
    ])
    .await;
    let put = async |who: Option<&str>, path: &str, body: Value| {
        let identity = who.map(|who| it.authority.issue(Some(who)));
        let request = it.client(identity.as_ref()).put(format!("{}/api/v1/{path}", it.url));
        let answer = request.json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let binding = json!({
        "name": "ci", "role": "developer", "subjects": [robot], "packages": ["shop-*"],
    });
    let package = |name: &str| json!({ "name": name });
    assert_eq!(put(Some(&robot), "packages/shop-a", package("shop-a")).await.0, 403);
    assert_eq!(put(Some(&root), "role-bindings/ci", binding).await.0, 201);
    let (status, stored) = put(Some(&robot), "packages/shop-a", package("shop-a")).await;
    assert_eq!((status, stored["meta"]["written_by"].as_str()), (201, Some(&*robot)), "{stored}");
    assert_eq!(put(Some(&robot), "packages/lib", package("lib")).await.0, 403);
    assert_eq!(put(None, "packages/shop-a", package("shop-a")).await.0, 401);

    let lines = eventually("all are told", || async {
        let lines = audit_lines(&audit);
        if lines.len() == 5 { Ok(lines) } else { Err(lines) }
    })
    .await;
    let told = |line: &Value| json!([line["subject"], line["authenticated_by"], line["status"]]);
    let want = [
        json!([robot, "certificate", 403]),
        json!([root, "certificate", 201]),
        json!([robot, "certificate", 201]),
        json!([robot, "certificate", 403]),
        json!([null, null, 401]),
    ];
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_speaks_tls() {
    let it = Encrypted::start(&[("OPRC_PM_SERVER_TLS_CLIENT_AUTH", "optional")]).await;
    let ca = it.path("ca.pem");
    let home = ("HOME".to_owned(), it.world.folder.path().to_str().unwrap().to_owned());
    let oprc = async |args: &[&str]| {
        let all = [&["--server", &it.url], args].concat();
        run("oprc", &all, std::slice::from_ref(&home), PATIENCE * 2).await
    };
    let output = oprc(&["--ca-cert", ca.to_str().unwrap(), "get", "packages"]).await;
    assert!(output.status.success(), "{output:?}");
    let output = oprc(&["get", "packages"]).await;
    assert!(!output.status.success(), "an authority that nobody trusts: {output:?}");
}

/// Asks `path` as if from `address`, which a proxy tells.
async fn ask(api: &Api, address: &str, method: Method, path: &str, body: &Value) -> StatusCode {
    let request = api.request(method, path).header("x-forwarded-for", address);
    Api::send(request.json(body)).await.status
}

/// The times that 90 reads and 10 writes of one caller take; all must succeed.
async fn times(api: &Api, round: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..100 {
        let started = Instant::now();
        let status = if n % 10 == 0 {
            let name = format!("calm-{round}-{n}");
            let body = json!({ "name": name });
            ask(api, "203.0.113.2", Method::PUT, &format!("/api/v1/packages/{name}"), &body).await
        } else {
            ask(api, "203.0.113.2", Method::GET, "/api/v1/packages", &Value::Null).await
        };
        assert!(status.is_success(), "{round} {n}: {status}");
        times.push(started.elapsed());
    }
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_leaves_others_alone() {
    let mut world = World::without_pm(Backend::Embedded, &[]).await;
    world.set("OPRC_PM_SERVER_TRUSTED_PROXIES", "127.0.0.0/8");
    world.set("OPRC_PM_RATE_LIMIT_ADDRESS_WRITES_PER_SEC", "20");
    world.set("OPRC_PM_RATE_LIMIT_ADDRESS_READS_PER_SEC", "1000");
    world.set("OPRC_PM_RATE_LIMIT_BURST_SECS", "2");
    world.set("OPRC_PM_LOG_LEVEL", "warn");
    world.add_pm().await;
    let api = world.api().clone();
    let calm = times(&api, "before").await;

    let is_over = Arc::new(AtomicBool::new(false));
    let (n_refused, n_taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let floods: Vec<_> = (0..4)
        .map(|n| {
            let (api, is_over) = (api.clone(), Arc::clone(&is_over));
            let (n_refused, n_taken) = (Arc::clone(&n_refused), Arc::clone(&n_taken));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let path = format!("/api/v1/packages/flood-{n}");
                    let body = json!({ "name": format!("flood-{n}"), "version": "1.0.0" });
                    match ask(&api, "203.0.113.1", Method::PUT, &path, &body).await {
                        StatusCode::TOO_MANY_REQUESTS => n_refused.fetch_add(1, Ordering::Relaxed),
                        status => {
                            assert!(status.is_success(), "{status}");
                            n_taken.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            })
        })
        .collect();
    eventually("the flood is refused", || async {
        let n = n_refused.load(Ordering::Relaxed);
        if n > 20 { Ok(()) } else { Err(n) }
    })
    .await;
    let started = Instant::now();
    // Not one of these is refused, and probes are answered.
    let flooded = times(&api, "meanwhile").await;
    assert_eq!(api.get("/livez").await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 200);
    is_over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.unwrap();
    }
    let (n_refused, n_taken) = (n_refused.load(Ordering::Relaxed), n_taken.load(Ordering::Relaxed));
    assert!(n_refused > n_taken, "{n_refused} refused, {n_taken} taken");
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    eprintln!(
        "p99 of another caller: {:?} without a flood, {:?} with one ({:.1} times) of {n_refused} \
         refused and {n_taken} taken in {:?}",
        p99(&calm),
        p99(&flooded),
        p99(&flooded).as_secs_f64() / p99(&calm).as_secs_f64(),
        started.elapsed(),
    );
}

/// The lines of the audit log, those set aside first.
fn audit_lines(path: &Path) -> Vec<Value> {
    let aside = |n: usize| PathBuf::from(format!("{}.{n}", path.display()));
    let files = (1..100).rev().map(aside).chain([path.to_owned()]);
    let text: String = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_told_and_secrets_are_not() {
    const SECRETS: [&str; 3] = ["hunter2-bearer", "hunter2-query", "hunter2-value"];
    let mut world = World::without_pm(Backend::Embedded, &[]).await;
    let path = world.folder.path().join("audit.log");
    world.set("OPRC_PM_AUDIT_LOG", path.to_str().unwrap());
    world.set("OPRC_PM_AUDIT_MAX_BYTES", "4096");
    world.set("OPRC_PM_AUDIT_MAX_FILES", "50");
    world.set("OPRC_PM_AUDIT_ON_FAILURE", "refuse");
    world.set("OPRC_PM_LOG_LEVEL", "debug");
    world.add_pm().await;
    let api = world.api();
    for n in 0..40 {
        let name = format!("p{n}");
        let body = json!({
            "name": name,
            "functions": [{ "key": "f", "config": { "PASSWORD": "hunter2-value" } }],
        });
        let target = format!("/api/v1/packages/{name}?token=hunter2-query");
        let request = api.request(Method::PUT, &target).bearer_auth("hunter2-bearer");
        assert_eq!(Api::send(request.json(&body)).await.status, 400, "an unknown parameter");
        let answer = api.put(&format!("/api/v1/packages/{name}"), &body).await;
        assert_eq!(answer.status, 201);
        assert!(answer.body["warnings"].to_string().contains("sounds like a secret"), "{answer:?}");
    }
    let count = |lines: &[Value], decision: &str| {
        lines.iter().filter(|line| line["decision"] == decision).count()
    };
    let lines = eventually("all writes are told", || async {
        let lines = audit_lines(&path);
        if count(&lines, "allowed") == 40 { Ok(lines) } else { Err(lines.len()) }
    })
    .await;
    // Ten a minute of a caller without a name have a line of their own; the rest are counted.
    assert!((10..=40).contains(&count(&lines, "refused")), "{}", count(&lines, "refused"));
    assert!(lines.iter().all(|line| line["address"] == "127.0.0.1"), "{}", lines[0]);
    assert!(path.with_extension("log.1").is_file(), "the log was set aside");

    let told = format!("{}{}", world.pms[0].process.output(), json!(lines));
    for secret in SECRETS {
        assert!(!told.contains(secret), "{secret} is told");
    }
}
