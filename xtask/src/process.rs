//! Programs that run beside this one, each with a log file, ended with it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use crate::{
    env,
    error::{Error, Result, at, io},
};

/// Time between two looks at what runs.
const LOOK: Duration = Duration::from_millis(100);

/// Looks until a program that was asked to end is killed: 10 s.
const MAX_LOOKS_TO_END: u32 = 100;

/// Lines shown of the log of a program that ended by itself.
const N_TAIL_LINES: usize = 30;

/// A running program. Dropping it asks it to end, and kills it if it does not.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `settings` as its only `OPRC_*` variables, its output in
    /// `<folder>/<name>.log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        folder: &Path,
        settings: &[(&str, String)],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).map_err(at("making", &log))?;
        let errors = output.try_clone().map_err(at("opening", &log))?;
        let mut command = Command::new(program);
        for variable in env::settings() {
            command.env_remove(variable);
        }
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(output).stderr(errors).current_dir(folder);
        let child = command.spawn().map_err(at("starting", program))?;
        Ok(Self { name, child, log })
    }

    /// Fails, with the end of its log, when the program has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let status = self.child.try_wait().map_err(io(format!("looking at {}", self.name)))?;
        let Some(status) = status else { return Ok(()) };
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(N_TAIL_LINES)..).unwrap_or_default();
        let (name, tail) = (self.name, tail.join("\n"));
        Err(Error::Other(format!("{name} ended by itself ({status}); the end of its log:\n{tail}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The standard library can only kill, which leaves a program no time to say goodbye.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
        let (_keep, clock) = mpsc::channel::<()>();
        for _ in 0..MAX_LOOKS_TO_END {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            let _ = clock.recv_timeout(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ctrl-C, SIGTERM or SIGHUP, and a clock that they interrupt.
pub(crate) struct Interrupt(Receiver<()>);

impl Interrupt {
    /// Takes the signals from now on, so that what was started can be ended in order.
    pub(crate) fn install() -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        ctrlc::set_handler(move || {
            // Nobody listening means that the end has begun.
            let _ = sender.send(());
        })
        .map_err(|err| Error::Other(format!("signals cannot be taken: {err}")))?;
        Ok(Self(receiver))
    }

    /// Looks again and again until `is_done`, at most `max_looks` times, 100 ms apart.
    ///
    /// # Errors
    ///
    /// When interrupted, when a process has ended, or when the looks are used up.
    pub(crate) fn wait_until(
        &self,
        what: &str,
        max_looks: u32,
        processes: &mut [Process],
        mut is_done: impl FnMut() -> bool,
    ) -> Result<()> {
        for _ in 0..max_looks {
            if is_done() {
                return Ok(());
            }
            for process in &mut *processes {
                process.check()?;
            }
            if self.is_raised_within(LOOK) {
                return Err(Error::Other("interrupted".to_owned()));
            }
        }
        Err(Error::Other(format!("waited too long for {what}")))
    }

    /// Returns when interrupted; fails when a process ends before.
    pub(crate) fn wait(&self, processes: &mut [Process]) -> Result<()> {
        while !self.is_raised_within(LOOK) {
            for process in &mut *processes {
                process.check()?;
            }
        }
        Ok(())
    }

    fn is_raised_within(&self, time: Duration) -> bool {
        !matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}
