//! `oprc`, the command line of the Package Manager.
//!
//! Everything that it touches outside of itself and the server (streams, environment, clock) is
//! handed to [`run`], so that a test can stand in for it.
//!
//! Invariants:
//! - documents are checked here first: one mistake in one file and nothing is sent;
//! - the exit code is the answer for scripts, see [`exit`];
//! - what was not heard from the server is never told as done.

mod args;
mod commands;
mod context;
mod documents;
mod error;
mod kind;
mod output;
mod term;

use std::{ffi::OsString, io::Read};

use clap::{CommandFactory as _, Parser as _};
use jiff::Timestamp;
use oprc_client::Client;

use crate::{
    args::{Auth, Cli, Command},
    error::Error,
};
pub use crate::{
    context::Environment,
    term::{Out, Terminal},
};

/// What the process exits with.
pub mod exit {
    pub use crate::error::{DONE, FAILED, NOT_CONVERGED, USAGE};
}

/// What a command works with outside of itself and the server.
pub struct Io<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Results.
    pub out: Out<'a>,
    /// Warnings and failures.
    pub err: Out<'a>,
    /// The time, for ages.
    pub now: fn() -> Timestamp,
}

/// Carries out the command line `words`, the program's name first. Returns what to exit with, see
/// [`exit`]; everything else was told on the streams.
pub async fn run<W>(words: W, environment: &Environment, io: &mut Io<'_>) -> u8
where
    W: IntoIterator<Item: Into<OsString> + Clone>,
{
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(err) => return told_by_clap(&err, io),
    };
    // A difference and a failure to look for one must not look alike to a script.
    let is_diff =
        matches!(cli.command, Command::Diff(_) | Command::Rollout(args::Rollout::Diff(_)));
    let done = Box::pin(dispatch(cli, environment, io)).await;
    if let Some(kind) = io.out.failure() {
        io.err.line(&format!("{} cannot write the output: {kind}", io.err.red("error:")));
        return exit::FAILED;
    }
    match done {
        Ok(()) => exit::DONE,
        Err(err) => {
            err.tell(&mut io.err);
            if is_diff && !matches!(err, Error::Different) { exit::USAGE } else { err.exit_code() }
        }
    }
}

/// Help and version are results; all else that clap says is a mistake.
fn told_by_clap(err: &clap::Error, io: &mut Io<'_>) -> u8 {
    let is_mistake = err.use_stderr();
    let to = if is_mistake { &mut io.err } else { &mut io.out };
    let text = err.render();
    to.text(&if to.has_colour() { text.ansi().to_string() } else { text.to_string() });
    if is_mistake { exit::USAGE } else { exit::DONE }
}

async fn dispatch(cli: Cli, environment: &Environment, io: &mut Io<'_>) -> Result<(), Error> {
    let Cli { global, command } = cli;
    let needs_server = !matches!(
        command,
        Command::Context(_)
            | Command::Schema { .. }
            | Command::Completion { .. }
            | Command::Version
    );
    let chosen = needs_server.then(|| context::resolve(&global, environment)).transpose()?;
    if let Some(chosen) = &chosen {
        for warning in &chosen.warnings {
            io.err.line(&format!("{} {warning}", io.err.paint(term::Colour::Yellow, "warning:")));
        }
    }
    let client = || match &chosen {
        Some(chosen) => Ok(Client::new(&chosen.endpoint)?),
        None => Err(Error::usage("this command speaks to no server")),
    };
    match command {
        Command::Apply(args) => commands::apply::run(&args, client, io).await,
        Command::Diff(args) => commands::diff::run(&args, client, io).await,
        Command::Get(args) => commands::get::run(&args, &client()?, io).await,
        Command::Describe { target } => commands::describe::run(&target, &client()?, io).await,
        Command::Events { about } => commands::events::run(about.as_deref(), &client()?, io).await,
        Command::Delete(args) => commands::delete::run(&args, client, io).await,
        Command::Package(args) => commands::package::run(&args, &client()?, io).await,
        Command::Rollout(args) => commands::rollout::run(&args, client, io).await,
        Command::Wait(args) => commands::wait::run(&args, &client()?, io).await,
        Command::Auth(Auth::Whoami) => commands::auth::who_am_i(&client()?, io).await,
        Command::Auth(Auth::CanI(args)) => commands::auth::can_i(&args, &client()?, io).await,
        Command::Context(args) => commands::context::run(&args, &global, environment, io),
        Command::Schema { kind } => commands::schema::run(&kind, io),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "oprc", &mut script);
            io.out.text(&String::from_utf8_lossy(&script));
            Ok(())
        }
        Command::Version => {
            io.out.line(concat!("oprc ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
