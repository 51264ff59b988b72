//! The demonstration: a Package Manager on its own store, two CRMs, and a package that converges.

use std::{path::Path, process::Command, sync::mpsc, thread};

use crate::{
    cargo::{self, Profile},
    env,
    error::{Result, io, say},
    http,
    process::{Interrupt, Process},
};

/// Looks, 100 ms apart, until a program must be ready: 30 s, for a machine that is busy.
const MAX_LOOKS_TO_READY: u32 = 300;

/// Time that a simulated unit takes to start. Why 1.5 s: long enough to be seen.
const START_MS: &str = "1500";

/// How the demonstration goes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// End as soon as everything runs, with exit code 0
    #[arg(long)]
    once: bool,
}

/// Where each program listens.
struct Ports {
    pm: u16,
    crms: [u16; 2],
}

const CLUSTERS: [&str; 2] = ["edge-1", "edge-2"];

/// Builds, starts, pushes the examples, and stays.
pub(crate) fn run(args: &Args) -> Result<()> {
    say!("building oprc-pm, oprc-crm and oprc (the first time takes a few minutes)");
    let programs = cargo::build_programs(Profile::Dev)?;
    let interrupt = Interrupt::install()?;
    let folder = tempfile::Builder::new()
        .prefix("oprc-demo-")
        .tempdir()
        .map_err(io("making a folder for the demonstration"))?;
    let ports = Ports {
        pm: http::free_port(8080)?,
        crms: [http::free_port(9091)?, http::free_port(9092)?],
    };
    let mut processes = start(&programs, folder.path(), &ports)?;
    for (name, port) in CLUSTERS.into_iter().zip(ports.crms) {
        interrupt.wait_until(name, MAX_LOOKS_TO_READY, &mut processes, || {
            http::is_ok(port, "/readyz")
        })?;
    }
    interrupt.wait_until("oprc-pm", MAX_LOOKS_TO_READY, &mut processes, || {
        http::is_ok(ports.pm, "/readyz")
    })?;

    let url = format!("http://127.0.0.1:{}", ports.pm);
    let oprc = |args: &[&str]| {
        say!("\n$ oprc {}", args.join(" "));
        let mut command = Command::new(programs.join("oprc"));
        command.current_dir(env::root()?).args(args).env("OPRC_SERVER", &url);
        cargo::run(&mut command)
    };
    oprc(&["apply", "-f", "examples/demo", "--wait"])?;
    oprc(&["get", "deployments"])?;
    oprc(&["get", "clusters"])?;
    if args.once {
        return Ok(());
    }
    invite(&url, &processes, &ports, &programs, folder.path());
    stay(&interrupt, &mut processes)
}

/// Stays until interrupted. A program that ends is no end of the demonstration: it starts again when
/// asked to.
fn stay(interrupt: &Interrupt, processes: &mut [Process]) -> Result<()> {
    let lines = lines();
    let mut ended: Vec<&'static str> = Vec::new();
    while !interrupt.is_raised() {
        for process in &mut *processes {
            if let Some(status) = process.ended()?
                && !ended.contains(&process.name())
            {
                ended.push(process.name());
                say!("\n{} ended ({status}). Press Enter here to start it again.", process.name());
            }
        }
        // Lines typed while everything runs ask for nothing.
        if lines.try_iter().count() == 0 {
            continue;
        }
        for process in processes.iter_mut().filter(|process| ended.contains(&process.name())) {
            process.restart()?;
            say!("{} is started again; kill -9 {}", process.name(), process.pid());
        }
        ended.clear();
    }
    Ok(())
}

/// A message for each line of standard input.
fn lines() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    // It waits for input until the process ends.
    thread::spawn(move || {
        for _line in std::io::stdin().lines().map_while(std::result::Result::ok) {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn start(programs: &Path, folder: &Path, ports: &Ports) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for (name, port) in CLUSTERS.into_iter().zip(ports.crms) {
        let settings = [
            ("OPRC_CRM_CLUSTER_NAME", name.to_owned()),
            ("OPRC_CRM_PORT", port.to_string()),
            ("OPRC_CRM_DATA_DIR", text(&folder.join(name))),
            ("OPRC_CRM_SIMULATED_START_MS", START_MS.to_owned()),
            ("OPRC_CRM_LOG_FORMAT", "text".to_owned()),
        ];
        processes.push(Process::start(name, &programs.join("oprc-crm"), folder, &settings)?);
    }
    let [first, second] = ports.crms;
    let settings = [
        ("OPRC_PM_SERVER_PORT", ports.pm.to_string()),
        ("OPRC_PM_DATA_DIR", text(&folder.join("oprc-pm"))),
        ("OPRC_PM_CRM_EDGE_1_URL", format!("http://127.0.0.1:{first}")),
        ("OPRC_PM_CRM_EDGE_2_URL", format!("http://127.0.0.1:{second}")),
        ("OPRC_PM_LOG_FORMAT", "text".to_owned()),
    ];
    processes.push(Process::start("oprc-pm", &programs.join("oprc-pm"), folder, &settings)?);
    Ok(processes)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn invite(url: &str, processes: &[Process], ports: &Ports, programs: &Path, folder: &Path) {
    if ports.pm != 8080 {
        say!("\nport 8080 is taken, so oprc-pm listens on {}", ports.pm);
    }
    let [first, second] = ports.crms;
    let pid = |name: &str| {
        let found = processes.iter().find(|process| process.name() == name);
        found.map(Process::pid).unwrap_or_default()
    };
    let [pm_pid, first_pid, second_pid] = ["oprc-pm", CLUSTERS[0], CLUSTERS[1]].map(pid);
    say!(
        "
oprc-pm   {url}            pid {pm_pid}, the API; what it can do: {url}/docs
edge-1    http://127.0.0.1:{first}   pid {first_pid}, a CRM that starts nothing real
edge-2    http://127.0.0.1:{second}   pid {second_pid}, another
logs      {folder}

Try, in another terminal:
  export OPRC_SERVER={url} PATH={programs}:$PATH
  oprc get packages
  oprc get deployments -w
  oprc apply -f examples/library.yaml --wait
  curl -s {url}/api/v1/clusters
  curl -s http://127.0.0.1:{first}/api/v1/deployment-records

Kill a CRM, and see what is said of it; Enter here starts it again:
  kill -9 {first_pid}
  oprc get clusters

Ctrl-C ends all three and removes what they kept.",
        folder = folder.display(),
        programs = programs.display(),
    );
}
