//! The program `oprc`: the streams, the environment and the clock of the process, handed to the
//! library.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use jiff::Timestamp;
use oprc_cli::{Environment, Io, Out, Terminal, exit, run};
use oprc_config::cli::Config;

fn main() -> ExitCode {
    let mut stderr = io::stderr();
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(mistakes) => {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(stderr, "{mistakes}");
            return exit::USAGE.into();
        }
    };
    let terminal =
        |is_terminal| Terminal { is_terminal, has_colour: is_terminal && !config.is_plain };
    let mut stdout = io::stdout();
    let (to_out, to_err) = (terminal(stdout.is_terminal()), terminal(stderr.is_terminal()));
    let environment = Environment {
        server: config.server.map(|server| server.as_str().to_owned()),
        token: config.token.map(|token| token.expose().to_owned()),
        config_dir: config.config_dir,
    };
    let mut io = Io {
        input: &mut io::stdin(),
        out: Out::new(&mut stdout, to_out),
        err: Out::new(&mut stderr, to_err),
        now: Timestamp::now,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            let _ = writeln!(io::stderr(), "error: cannot start: {err}");
            return exit::FAILED.into();
        }
    };
    runtime.block_on(run(std::env::args_os(), &environment, &mut io)).into()
}
