//! A real browser, and pages that mean ill. Skipped where there is no Chromium.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::Command,
    time::timeout,
};

use crate::support::{Backend, PATIENCE, World};

/// Names under which distributions install it.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A page that tries to write to the server at `API`, in each way that a page may send a request to
/// another origin without asking. It ends with the text `done`.
const PAGE: &str = r#"<!doctype html><title>evil</title><body>
<iframe name="target"></iframe>
<form id="form" method="post" target="target" action="API/api/v1/deployments/cart/restart"></form>
<p id="end"></p>
<script>
const post = (path, body, headers) =>
    fetch("API/api/v1" + path, { method: "POST", mode: "no-cors", body, headers }).catch(() => 0);
const evil = '{"name":"evil","classes":[]}';
(async () => {
    document.getElementById("form").submit();
    await post("/deployments/cart/pause");
    await post("/deployments/cart/restart", new URLSearchParams({ a: "b" }));
    await post("/packages", new Blob([evil]));
    await post("/packages", evil, { "content-type": "text/plain" });
    await fetch("API/api/v1/deployments/cart", { method: "DELETE" }).catch(() => 0);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    document.getElementById("end").textContent = "do" + "ne";
})();
</script>"#;

async fn is_there(browser: &str) -> bool {
    let asked =
        Command::new(browser).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.await.is_ok_and(|status| status.success())
}

async fn browser() -> Option<&'static str> {
    for browser in BROWSERS {
        if is_there(browser).await {
            return Some(browser);
        }
    }
    eprintln!("SKIPPED: there is no {} on PATH", BROWSERS.join(", "));
    None
}

/// The document that `browser` shows of `url`, when it has run its scripts.
async fn shown(browser: &str, folder: &Path, url: &str) -> String {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .arg("--host-resolver-rules=MAP evil.test 127.0.0.1")
        .args(["--virtual-time-budget=20000", "--dump-dom", url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(300), output).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Serves `page` on a port of its own until dropped; answers the port.
async fn serve(page: String) -> (u16, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The request is small, and whatever it asks for it is answered the same.
            let _ = timeout(PATIENCE, stream.read(&mut [0; 4096])).await;
            let length = page.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, serving)
}

/// A page of another origin, and one of a name that was made to resolve to the server: neither
/// writes anything, and the second reads nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_write_and_read_nothing() {
    let Some(browser) = browser().await else { return };
    let world = World::start(Backend::Embedded, &[]).await;
    world.put_package("1.0.0").await;
    world.put_deployment("cart", &["edge-1"]).await;
    let before = world.api().get("/api/v1/deployments/cart").await.body["meta"].clone();
    let folder = world.folder.path();

    let (port, _serving) = serve(PAGE.replace("API", &world.api().url)).await;
    let page = shown(browser, folder, &format!("http://localhost:{port}/")).await;
    assert!(page.contains(">done<"), "the page has tried: {page}");
    let meta = world.api().get("/api/v1/deployments/cart").await.body["meta"].clone();
    assert_eq!(meta, before, "nothing was written");
    assert_eq!(world.api().get("/api/v1/packages/evil").await.status, 404);
    // The server has seen them, and refused them.
    let metrics = world.api().get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for route in ["/packages\"", "/deployments/{key}/pause\"", "/deployments/{key}/restart\""] {
        let is_counted = |line: &&str| {
            line.starts_with("oprc_pm_http_requests_total")
                && line.contains(route)
                && line.contains("method=\"POST\"")
                && line.contains("status=\"403\"")
        };
        assert!(metrics.lines().any(|line| is_counted(&line)), "{route}: {metrics}");
    }

    let (_, port) = world.api().url.rsplit_once(':').unwrap();
    let page = shown(browser, folder, &format!("http://evil.test:{port}/api/v1/packages")).await;
    assert!(page.contains("misdirected_request"), "{page}");
}
