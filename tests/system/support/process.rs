//! A program of ours as a process: started, signalled, and never left behind.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use super::eventually;

/// Lines of a log that are shown when a test fails.
const SHOWN_LINES: usize = 60;

/// The program `name`, from the folder that `OPRC_TEST_BIN_DIR` names, else beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let folder = env::var_os("OPRC_TEST_BIN_DIR").map_or_else(beside_this_test, PathBuf::from);
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "there is no {}: run `cargo xtask test`, which builds the programs and names their folder",
        program.display()
    );
    program
}

/// `target/debug` of `target/debug/deps/system-…`.
fn beside_this_test() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

/// A process, killed on drop. Its log is shown if the test is failing then.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program `name` with `settings` as its whole environment.
    pub(crate) fn start(name: &str, settings: &[(String, String)], log: &Path) -> Self {
        let file = fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = dying_with_us(&program(name));
        command.env_clear().envs(settings.iter().cloned()).current_dir(log.parent().unwrap());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log: log.to_owned() }
    }

    /// SIGKILL: it ends at whatever instruction it is.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How much memory it has.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// SIGTERM: it is asked to end.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGSTOP: it stands still, its connections stay open.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process ends", || {
            let ended = child.try_wait().unwrap().ok_or("it runs");
            async move { ended }
        })
        .await
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill} failed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- the end of {}:\n{}", self.log.display(), shown.join("\n"));
        }
    }
}

/// A command whose process is killed when the thread that starts it ends, however that comes about:
/// drop is not run in a test that is killed itself.
fn dying_with_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.is_file() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// Runs the program `name` to its end.
pub(crate) async fn run(
    name: &str,
    args: &[&str],
    settings: &[(String, String)],
    limit: Duration,
) -> std::process::Output {
    let mut command = tokio::process::Command::new(program(name));
    command.args(args).env_clear().envs(settings.iter().cloned()).kill_on_drop(true);
    command.stdin(Stdio::null());
    let output = tokio::time::timeout(limit, command.output()).await;
    output.unwrap_or_else(|_| panic!("{name} {args:?} has not ended after {limit:?}")).unwrap()
}
