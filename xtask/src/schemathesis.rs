//! Requests of every shape, made from the server's own description: does the server do what it says?
//!
//! `schemathesis` is a Python package, installed into the target folder. Where it cannot be had, the
//! check is skipped.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    cargo::{self, Profile},
    env,
    error::{Error, Result, at, io, say},
    http,
    process::{Interrupt, Process},
    python,
};

/// The Python package, and its version: another may ask other things.
const PACKAGE: &str = "schemathesis==4.32.5";

/// Looks, 100 ms apart, until a program must be ready: 30 s, for a machine that is busy.
const MAX_LOOKS_TO_READY: u32 = 300;

/// The same requests each time.
const SEED: &str = "1";

/// What the checks are told, beside the description itself.
///
/// A valid document may be refused all the same (400: two of its keys are the same; 409, 412, 413: as
/// described), and a name that is not one may be one that nothing has (404).
/// A watch does not end, so none is asked for.
const CONFIGURATION: &str = "\
[parameters]
\"query.watch\" = false

[checks]
positive_data_acceptance.expected-statuses = [\"2xx\", 303, 304, 400, 401, 403, 404, 409, 412, 413, 422]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422]
";

/// Whose tokens the server believes, who may do everything there, and what signs them. For this
/// check alone: the server listens on this machine's loopback address for its length.
const ISSUER: &str = "schemathesis";
const SUBJECT: &str = "root";
const SECRET: &str = "a-secret-that-is-none-since-it-is-in-the-source";

/// Signs a token with what the standard library of Python has.
const SIGN: &str = "\
import base64, hashlib, hmac, json, sys, time
issuer, subject, secret = sys.argv[1:]
b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=')
part = lambda value: b64(json.dumps(value).encode())
claims = {'iss': issuer, 'sub': subject, 'aud': 'oprc-pm', 'exp': int(time.time()) + 3600}
text = part({'alg': 'HS256', 'typ': 'JWT'}) + b'.' + part(claims)
print((text + b'.' + b64(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode())
";

/// How much to ask.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Requests of each operation, at most
    #[arg(long, default_value_t = 25)]
    examples: u32,
    /// Seconds after which no more is asked, of each of three callers
    #[arg(long, default_value_t = 300)]
    seconds: u32,
}

impl Args {
    /// What a run of all tests can afford.
    pub(crate) const fn short() -> Self {
        Self { examples: 5, seconds: 40 }
    }
}

/// Who asks, of a server that knows nobody or one that wants tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// Anybody: the server asks nobody who they are.
    Anybody,
    /// Somebody who may do everything.
    Admin,
    /// Somebody without a token.
    Stranger,
}

/// Builds servers and asks them; `Ok(Some(reason))` if the checker cannot be had.
pub(crate) fn run(args: &Args, interrupt: &Interrupt) -> Result<Option<String>> {
    let checker = match python::tool("schemathesis", PACKAGE) {
        Ok(checker) => checker,
        Err(err) => return Ok(Some(format!("no schemathesis: {err}"))),
    };
    let programs = cargo::build_programs(Profile::Dev)?;
    let callers = [
        (Caller::Anybody, "anybody, of a server that knows nobody"),
        (Caller::Admin, "an admin"),
        (Caller::Stranger, "a stranger"),
    ];
    for (caller, name) in callers {
        say!("\nschemathesis: asking as {name}");
        ask(args, &checker, &programs, interrupt, caller)?;
    }
    Ok(None)
}

/// Starts a server and asks it for everything.
fn ask(
    args: &Args,
    checker: &Path,
    programs: &Path,
    interrupt: &Interrupt,
    caller: Caller,
) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("oprc-schemathesis-")
        .tempdir()
        .map_err(io("making a folder for the server"))?;
    let token = if caller == Caller::Anybody { None } else { Some(token(checker)?) };
    let (pm, crm) = (http::free_port(8080)?, http::free_port(9091)?);
    let mut processes = start(programs, folder.path(), (pm, crm), token.is_some())?;
    for (name, port) in [("edge-1", crm), ("oprc-pm", pm)] {
        interrupt.wait_until(name, MAX_LOOKS_TO_READY, &mut processes, || {
            http::is_ok(port, "/readyz")
        })?;
    }
    push_examples(programs, pm, token.as_deref())?;
    let configuration = folder.path().join("schemathesis.toml");
    fs::write(&configuration, CONFIGURATION).map_err(at("writing", &configuration))?;
    let mut check = Command::new(checker);
    check.current_dir(folder.path()).stdin(Stdio::null());
    check.arg("--config-file").arg(&configuration).arg("run");
    // One worker: with two, the checker trips over itself now and then.
    check.args(["--checks", "all", "--seed", SEED, "--workers", "1", "--no-color"]);
    check.args(["--continue-on-failure", "--generation-database", "none"]);
    check.args(["--suppress-health-check", "all", "--request-timeout", "30"]);
    check.args(["--warnings", "off", "--exclude-operation-id", "watch"]);
    check.args(["--max-examples", &args.examples.to_string()]);
    check.args(["--max-time", &args.seconds.to_string()]);
    if caller == Caller::Stranger {
        // Whoever does not say who they are is told 401, and not which methods there are.
        check.args(["--exclude-checks", "unsupported_method"]);
    }
    if let Some(token) = token.filter(|_| caller == Caller::Admin) {
        check.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    check.arg(format!("http://127.0.0.1:{pm}/openapi.json"));
    let checked = cargo::run(&mut check);
    // A server that ended explains more than the requests that it did not answer.
    processes.iter_mut().try_for_each(Process::check).and(checked)
}

/// Starts a CRM and a Package Manager that keep nothing.
pub(crate) fn start(
    programs: &Path,
    folder: &Path,
    (pm, crm): (u16, u16),
    is_guarded: bool,
) -> Result<Vec<Process>> {
    let crm_settings = [
        ("OPRC_CRM_CLUSTER_NAME", "edge-1".to_owned()),
        ("OPRC_CRM_PORT", crm.to_string()),
        ("OPRC_CRM_STORAGE_TYPE", "memory".to_owned()),
    ];
    let mut pm_settings = vec![
        ("OPRC_PM_SERVER_PORT", pm.to_string()),
        ("OPRC_PM_STORAGE_TYPE", "memory".to_owned()),
        ("OPRC_PM_CRM_EDGE_1_URL", format!("http://127.0.0.1:{crm}")),
        ("OPRC_PM_LOG_FORMAT", "text".to_owned()),
    ];
    // One caller asks as fast as it can, and each of its questions is to be answered.
    let limits = [
        "OPRC_PM_RATE_LIMIT_SUBJECT_READS_PER_SEC",
        "OPRC_PM_RATE_LIMIT_SUBJECT_WRITES_PER_SEC",
        "OPRC_PM_RATE_LIMIT_ADDRESS_READS_PER_SEC",
        "OPRC_PM_RATE_LIMIT_ADDRESS_WRITES_PER_SEC",
    ];
    pm_settings.extend(limits.map(|limit| (limit, "0".to_owned())));
    if is_guarded {
        pm_settings.extend([
            ("OPRC_PM_AUTH_MODE", "jwt".to_owned()),
            ("OPRC_PM_AUTH_ISSUER", ISSUER.to_owned()),
            ("OPRC_PM_AUTH_JWT_SECRET", SECRET.to_owned()),
            ("OPRC_PM_AUTH_ADMINS", SUBJECT.to_owned()),
        ]);
    }
    Ok(vec![
        Process::start("edge-1", &programs.join("oprc-crm"), folder, &crm_settings)?,
        Process::start("oprc-pm", &programs.join("oprc-pm"), folder, &pm_settings)?,
    ])
}

/// A token of somebody who may do everything, made by the checker's own Python.
fn token(checker: &Path) -> Result<String> {
    let python = checker.with_file_name("python");
    let mut sign = Command::new(&python);
    sign.args(["-c", SIGN, ISSUER, SUBJECT, SECRET]).stdin(Stdio::null());
    let output = sign.output().map_err(at("starting", &python))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !token.is_empty() {
        Ok(token)
    } else {
        Err(Error::Other("the checker's Python makes no token".to_owned()))
    }
}

/// Something to find: what is there is answered otherwise than what is not.
fn push_examples(programs: &Path, pm: u16, token: Option<&str>) -> Result<()> {
    let mut apply = Command::new(programs.join("oprc"));
    apply.current_dir(env::root()?).env("OPRC_SERVER", format!("http://127.0.0.1:{pm}"));
    apply.envs(token.map(|token| ("OPRC_TOKEN", token)));
    apply.args(["apply", "-f", "examples/shop.yaml", "-f", "examples/stream.yaml"]);
    cargo::run(&mut apply)
}
