//! Programs that run beside this one, each with a log file, ended with it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
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
    program: PathBuf,
    settings: Vec<(String, String)>,
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
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let child = spawn(program, &settings, &log)?;
        Ok(Self { name, program: program.to_owned(), settings, child, log })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(io(format!("looking at {}", self.name)))
    }

    /// Starts it again, after it has ended: with the same settings, its output after what is in the log.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.program, &self.settings, &self.log)?;
        Ok(())
    }

    /// Fails, with the end of its log, when the program has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(status) = self.ended()? else { return Ok(()) };
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(N_TAIL_LINES)..).unwrap_or_default();
        let (name, tail) = (self.name, tail.join("\n"));
        Err(Error::Other(format!("{name} ended by itself ({status}); the end of its log:\n{tail}")))
    }
}

/// Starts `program` in the folder of `log`.
fn spawn(program: &Path, settings: &[(String, String)], log: &Path) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log);
    let output = output.map_err(at("opening", log))?;
    let errors = output.try_clone().map_err(at("opening", log))?;
    let mut command = Command::new(program);
    for variable in env::settings() {
        command.env_remove(variable);
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    command.current_dir(log.parent().unwrap_or_else(|| Path::new(".")));
    command.spawn().map_err(at("starting", program))
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

    /// Whether it is raised before the next look is due.
    pub(crate) fn is_raised(&self) -> bool {
        self.is_raised_within(LOOK)
    }

    fn is_raised_within(&self, time: Duration) -> bool {
        !matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that runs until it is killed.
    fn endless(folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let program = folder.join("endless");
        fs::write(&program, "#!/bin/sh\necho \"$GREETING\"\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    fn kill(process: &mut Process) {
        let pid = process.pid().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        process.child.wait().unwrap();
    }

    #[test]
    fn a_killed_process_is_noticed_and_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("GREETING", "hello".to_owned())];
        let mut process =
            Process::start("it", &endless(folder.path()), folder.path(), &settings).unwrap();
        let first = process.pid();
        assert_eq!(process.ended().unwrap(), None);
        kill(&mut process);
        assert!(process.ended().unwrap().is_some_and(|status| !status.success()));
        assert!(process.check().is_err());

        process.restart().unwrap();
        assert_ne!(process.pid(), first);
        assert_eq!(process.ended().unwrap(), None);
        kill(&mut process);
    }
}
