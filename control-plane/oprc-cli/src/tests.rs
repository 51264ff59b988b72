//! Whole commands against a Package Manager in memory.

mod applying;
mod authorizing;
mod deleting;
mod failing;
mod fake;
mod getting;
mod rollout;
mod waiting;

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;
use fake::Fake;

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: u8,
    out: String,
    err: String,
}

/// A server, and a folder with files.
struct Bench {
    server: Fake,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self { server: Fake::start().await, folder: TempDir::new().unwrap() }
    }

    /// Writes a file into the folder.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs `oprc` with these words; `{}` is the folder.
    async fn run(&self, words: &str) -> Ran {
        let folder = self.folder.path().to_str().unwrap();
        run_with(&words.replace("{}", folder), &self.environment(), "").await
    }

    fn environment(&self) -> Environment {
        let config_dir = Some(self.folder.path().join("config"));
        Environment { server: Some(self.server.url.clone()), token: None, config_dir }
    }
}

/// Half a day after [`BIRTH`].
fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

const BIRTH: &str = "2026-05-01T00:00:00Z";

async fn run_with(words: &str, environment: &Environment, input: &str) -> Ran {
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input.as_bytes());
    let mut io = Io {
        input: &mut input,
        out: Out::new(&mut out, Terminal::default()),
        err: Out::new(&mut err, Terminal::default()),
        now,
    };
    let words = std::iter::once("oprc").chain(words.split_whitespace());
    let code = run(words, environment, &mut io).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code, out: text(out), err: text(err) }
}

/// The command line alone: what needs no server.
#[tokio::test]
async fn exits_with_2_for_usage() {
    let bench = Bench::new().await;
    bench.file("empty/readme.txt", "");
    for (words, want) in [
        ("", "Usage"),
        ("nonsense", "unrecognized subcommand"),
        ("get", "required"),
        ("get gadgets", "\"gadgets\" is not a kind"),
        ("get packages --cluster prod", "packages cannot be filtered by --cluster"),
        ("get packages --limit 0", "0 is not in"),
        ("describe package", "which package?"),
        ("apply", "which files?"),
        ("apply -f {}/empty", "has no .yaml"),
        ("apply -f - -f -", "only once"),
        ("apply -f - --timeout soon", "is not a length of time"),
        ("delete class Cart", "a class cannot be deleted"),
        ("delete package shop --cluster east", "--cluster is for a deployment"),
        ("wait package shop --for=ready", "want condition=NAME"),
        ("wait class Cart --for=delete", "no condition of its own"),
        ("rollout status package shop", "want a deployment"),
        ("get packages -l a=b=c", "not a label value"),
        ("get packages -l a,", "a label name is missing"),
        ("get packages --selector a>1", "not a label name"),
        ("get packages --server ftp://x", "want a URL"),
        ("get packages --server http://user:secret@x", "holds credentials"),
        ("get packages --server http://user:secret@x:y", "\"…\": invalid port"),
        ("context set prod", "give --server"),
        ("diff -f {}/nothing-here", "cannot read"),
    ] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, exit::USAGE, "{words}: {ran:?}");
        assert!(ran.err.contains(want), "{words}: {ran:?}");
        assert!(!ran.err.contains("secret"), "{words}: {ran:?}");
    }
    assert_eq!(bench.server.requests(""), [""; 0], "none of these asks the server");
}

#[tokio::test]
async fn prints_help_version_and_completions() {
    let bench = Bench::new().await;
    for (words, want) in [
        ("--help", "Exit codes: 0 done"),
        ("--version", "oprc "),
        ("version", "oprc "),
        ("completion bash", "_oprc()"),
        ("completion zsh", "#compdef oprc"),
    ] {
        let ran = bench.run(words).await;
        assert_eq!(ran.code, exit::DONE, "{words}: {ran:?}");
        assert!(ran.out.contains(want), "{words}: {ran:?}");
    }
}

#[tokio::test]
async fn keeps_contexts() {
    let bench = Bench::new().await;
    let steps = [
        ("context current", 2, "", "no context is in use"),
        (
            "context set prod --server https://pm.example.org/ --token t0ps3cret",
            0,
            "context/prod set\n",
            "",
        ),
        ("context set dev --server http://localhost:9", 0, "context/dev set\n", ""),
        ("context current", 0, "prod\n", ""),
        ("context use dev", 0, "context/dev in use\n", ""),
        (
            "context list",
            0,
            "CURRENT  NAME  SERVER                  TOKEN\n\
             *        dev   http://localhost:9      no\n\
             \x20        prod  https://pm.example.org  yes\n",
            "",
        ),
        ("context use other", 1, "", "there is: dev, prod"),
        ("context remove dev", 0, "context/dev removed\n", ""),
        ("context current", 2, "", "no context is in use"),
    ];
    for (words, code, out, err) in steps {
        let ran = bench.run(words).await;
        assert_eq!((ran.code, ran.out.as_str()), (code, out), "{words}: {}", ran.err);
        assert!(ran.err.contains(err), "{words}: {}", ran.err);
    }
    // After the context in use was removed, no other server is asked instead.
    let unnamed = Environment { server: None, ..bench.environment() };
    for (words, there) in
        [("get packages", "there is: prod"), ("context remove prod", ""), ("get packages", "none")]
    {
        let ran = run_with(words, &unnamed, "").await;
        if words.starts_with("get") {
            assert_eq!(ran.code, exit::USAGE, "{ran:?}");
            assert!(ran.err.contains("no context is in use; choose one"), "{}", ran.err);
        }
        assert!(ran.err.contains(there), "{words}: {}", ran.err);
    }
    let again = "context set prod --server https://pm.example.org/ --token t0ps3cret";
    assert_eq!(run_with(again, &unnamed, "").await.code, exit::DONE);
    assert_eq!(run_with("context current", &unnamed, "").await.out, "prod\n");
    let file = bench.folder.path().join("config/config.json");
    assert!(fs::read_to_string(&file).unwrap().contains("t0ps3cret"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::write(&file, "{\"token\": t0ps3cret").unwrap();
    let ran = bench.run("context list").await;
    assert_eq!(ran.code, exit::USAGE);
    assert!(!ran.err.contains("t0ps3cret"), "{}", ran.err);
}
