//! A GET of one package beside a handler that answers the same bytes, each in a process of its own.

use std::{
    env, fs,
    net::SocketAddr,
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use axum::{Router, extract::Path, http::header, routing::get};
use bytes::Bytes;
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};

use crate::{
    load::{Connection, closed_loop},
    process::{Program, cpu_of, free_addr},
    stores::{Kind, Place},
    table,
};

/// The argument that makes this program serve.
pub(crate) const SERVE: &str = "serve-bytes";

const CLIENTS: usize = 64;
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(1);
const PATH: &str = "/api/v1/packages/shop";

/// Serves the bytes of a file at a port, until killed.
pub(crate) fn serve(arguments: &[String]) -> ExitCode {
    let [port, file] = arguments else { return ExitCode::FAILURE };
    let (port, bytes) = (port.parse::<u16>().unwrap(), Bytes::from(fs::read(file).unwrap()));
    Runtime::new().unwrap().block_on(async {
        let answer = async move |Path(_): Path<String>| {
            ([(header::CONTENT_TYPE, "application/json")], bytes)
        };
        let routes = Router::new().route("/api/v1/packages/{name}", get(answer));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        axum::serve(listener, routes).await.unwrap();
    });
    ExitCode::SUCCESS
}

/// The handler's process; killed when dropped.
struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn run() {
    for kind in Kind::BOTH {
        let Some(place) = Place::new(kind).await else { continue };
        measure(&place, kind).await;
    }
}

async fn measure(place: &Place, kind: Kind) {
    let (pm, _) = Program::pm(place.variables(&[])).await;
    pm.push_package().await;
    // Its status has been written once it has one.
    pm.until(PATH, |body| body["status"]["conditions"].is_array()).await;
    let bytes = Connection::open(pm.addr).await.get(PATH).await.1.to_vec();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer");
    fs::write(&file, &bytes).unwrap();
    let (bare_addr, bare) = start_bare(&file).await;

    let cached = format!("{PATH}?consistency=cached");
    let [mut plain, mut linearizable, mut from_cache] = [const { Vec::new() }; 3];
    let [mut plain_cpu, mut linearizable_cpu, mut cached_cpu] = [const { Vec::new() }; 3];
    let own = || pm.cpu();
    let bares = || cpu_of(bare.0.id());
    for round in 0..=ROUNDS {
        let (a, a_cpu) = gets(bare_addr, PATH, bytes.len(), &bares).await;
        let (b, b_cpu) = gets(pm.addr, PATH, bytes.len(), &own).await;
        let (c, c_cpu) = gets(pm.addr, &cached, bytes.len(), &own).await;
        if round > 0 {
            plain.push(a);
            linearizable.push(b);
            from_cache.push(c);
            plain_cpu.push(a_cpu);
            linearizable_cpu.push(b_cpu);
            cached_cpu.push(c_cpu);
        }
    }
    let name = kind.name();
    let plain = table::median(&mut plain);
    let measure = format!("GET of a package, linearizable, {name}, against a bare handler");
    table::ratio(&measure, table::median(&mut linearizable), plain, 0.5);
    let measure = format!("GET of a package, cached, {name}, against a bare handler");
    table::ratio(&measure, table::median(&mut from_cache), plain, 0.5);
    let micros = [&mut linearizable_cpu, &mut cached_cpu, &mut plain_cpu].map(|v| table::median(v));
    let figure = format!("{:.0}, {:.0}, {:.0} µs", micros[0], micros[1], micros[2]);
    table::row("— processor time of the server: linearizable, cached, bare", &figure, "");
}

/// How many a second, and the server's processor time for each in µs.
async fn gets(
    addr: SocketAddr,
    path: &str,
    n_bytes: usize,
    cpu: &impl Fn() -> Duration,
) -> (f64, f64) {
    let before = cpu();
    let path = path.to_owned();
    let rate = closed_loop(
        CLIENTS,
        TIME,
        async || Connection::open(addr).await,
        move |mut connection: Connection, _| {
            let path = path.clone();
            Box::pin(async move {
                let (status, body) = connection.get(&path).await;
                assert_eq!((status, body.len()), (200, n_bytes));
                connection
            })
        },
    )
    .await;
    let micros = (cpu() - before).as_secs_f64() * 1e6;
    (rate, micros / (rate * TIME.as_secs_f64()))
}

async fn start_bare(file: &std::path::Path) -> (SocketAddr, Bare) {
    let addr = free_addr();
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(SERVE).arg(addr.port().to_string()).arg(file).stdin(Stdio::null());
    let bare = Bare(command.spawn().unwrap());
    while tokio::net::TcpStream::connect(addr).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    (addr, bare)
}
