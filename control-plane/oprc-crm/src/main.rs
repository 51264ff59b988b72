//! `oprc-crm`: the reference CRM as a process. Wiring only.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Command;
use oprc_config::{
    crm::{Config, VARIABLES},
    log, table,
};
use oprc_crm::server::{self, Options};
use oprc_observability::{Format, Metrics, Report, init_logging};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

/// Between two foldings of the histograms' samples.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Why the process ends with an error.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    Command::new("oprc-crm")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The reference Class Runtime Manager, over a simulated runtime: it starts nothing real.")
        .after_help(table::help(VARIABLES))
        .get_matches();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            #[expect(clippy::print_stderr, reason = "the last word, when there may be no log")]
            {
                eprintln!("oprc-crm: {}", Told(&*err));
            }
            ExitCode::FAILURE
        }
    }
}

/// Mistakes keep their lines; other errors go on one.
struct Told<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is::<oprc_config::Mistakes>() {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{}", Report(self.0))
        }
    }
}

fn run() -> Result<(), Failure> {
    let config = Config::from_env()?;
    let format = match config.log_format {
        log::Format::Json => Format::Json,
        log::Format::Text => Format::Text,
    };
    let _guard = init_logging(config.log_level.as_str(), format)?;
    let metrics = Metrics::install()?;
    oprc_crm::describe_metrics();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(config, metrics))
}

/// Serves until SIGTERM or SIGINT.
async fn serve(config: Config, metrics: Metrics) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let rendering = metrics.clone();
    let render_metrics = Some(Arc::new(move || rendering.render()) as _);
    let mut running =
        server::start_with(config, Options { render_metrics, ..Options::default() }).await?;
    loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            ended = running.ended() => return Ok(ended?),
            () = sleep(METRICS_UPKEEP) => metrics.run_upkeep(),
        }
    }
    tracing::info!("stopping");
    Ok(running.shutdown().await?)
}
