//! `oprc-pm`: the Package Manager as a process. Wiring only.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::{Arg, ArgAction, Command};
use oprc_config::{
    log,
    pm::{Config, VARIABLES},
    table,
};
use oprc_observability::{Format, Metrics, Report, init_logging};
use oprc_pm::{Options, RecoverOptions, StartError, recover, start};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// The system's allocator keeps what was freed in many small pieces; see decision 0001.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Between two foldings of the histograms' samples.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Why the process ends with an error.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let recover = Command::new("recover")
        .about("Makes a store that was put back from a backup acceptable to CRMs again")
        .long_about(
            "Makes a store that was put back from a backup acceptable to CRMs again: the terms of its \
             leaders continue above those that the CRMs have seen. Run it with the environment of the \
             replicas, while all of them are stopped. Nothing is changed while one of them runs.",
        )
        .arg(
            Arg::new("skip-unknown")
                .long("skip-unknown")
                .action(ArgAction::SetTrue)
                .help("Go on without CRMs that do not answer"),
        )
        .arg(
            Arg::new("installation")
                .long("installation")
                .value_name("ID")
                .help("Id of the installation, for a backup from before it had one"),
        );
    let matches = Command::new("oprc-pm")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The Package Manager of an Object-as-a-Service platform.")
        .after_help(table::help(&VARIABLES.concat()))
        .subcommand(recover)
        .get_matches();
    let done = match matches.subcommand() {
        Some(("recover", matches)) => run_recover(&RecoverOptions {
            skips_unknown: matches.get_flag("skip-unknown"),
            installation: matches.get_one("installation").cloned(),
        }),
        _ => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            #[expect(clippy::print_stderr, reason = "the last word, when there may be no log")]
            {
                eprintln!("oprc-pm: {}", Told(&*err));
            }
            ExitCode::FAILURE
        }
    }
}

/// Mistakes keep their lines; other errors go on one.
struct Told<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_list = self.0.is::<oprc_config::Mistakes>()
            || matches!(self.0.downcast_ref::<StartError>(), Some(StartError::Several(_)));
        if is_list { write!(f, "{}", self.0) } else { write!(f, "{}", Report(self.0)) }
    }
}

fn run() -> Result<(), Failure> {
    let config = Config::from_env()?;
    let format = match config.log.format {
        log::Format::Json => Format::Json,
        log::Format::Text => Format::Text,
    };
    let _guard = init_logging(config.log.level.as_str(), format)?;
    let metrics = Metrics::install()?;
    oprc_cp_storage::describe_metrics();
    oprc_controller_runtime::describe_metrics();
    oprc_controllers::describe_metrics();
    oprc_crm_client::describe_metrics();
    oprc_http::describe_metrics();
    oprc_pm_api::describe_metrics();
    oprc_pm::describe_metrics();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.server.worker_threads {
        runtime.worker_threads(threads.count());
    }
    runtime.enable_all().build()?.block_on(serve(config, metrics))
}

/// Recovers the store, and prints what was done.
fn run_recover(options: &RecoverOptions) -> Result<(), Failure> {
    let config = Config::from_env()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let recovered = runtime.block_on(recover(&config, options))?;
    #[expect(clippy::print_stdout, reason = "a command's result")]
    {
        println!("{recovered}");
    }
    Ok(())
}

/// Serves until SIGTERM or SIGINT.
async fn serve(config: Config, metrics: Metrics) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let rendering = metrics.clone();
    let render_metrics = Some(Arc::new(move || rendering.render()) as _);
    let starting = start(config, Options { render_metrics });
    let mut running = tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        started = starting => started?,
    };
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = running.failed() => return Err("a part of the server has ended".into()),
            () = sleep(METRICS_UPKEEP) => metrics.run_upkeep(),
        }
    }
    tracing::info!("stopping");
    running.shutdown().await;
    Ok(())
}
