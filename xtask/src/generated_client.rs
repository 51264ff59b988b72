//! A client generated from the server's own description, used against that server.
//!
//! `openapi-python-client` is a Python package, installed into the target folder. It leaves out what it
//! cannot read, so each operation is looked for in what it made.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    cargo::{self, Profile},
    error::{Error, Result, at, io, say},
    http,
    process::Interrupt,
    python, schemathesis,
};

/// The Python package, and its version: another may read other forms.
const PACKAGE: &str = "openapi-python-client==0.29.1";
const NAME: &str = "openapi-python-client";

/// Uses the client.
const SCRIPT: &str = include_str!("generated_client.py");

/// No formatter is run over what is generated.
const CONFIGURATION: &str = "post_hooks: []\n";

/// A line of the generator about an operation that it leaves out.
const LEFT_OUT: &str = "will not be generated";

/// Looks, 100 ms apart, until a program must be ready: 30 s, for a machine that is busy.
const MAX_LOOKS_TO_READY: u32 = 300;

/// Generates a client and uses it; `Ok(Some(reason))` if the generator cannot be had.
pub(crate) fn run(interrupt: &Interrupt) -> Result<Option<String>> {
    let generator = match python::tool(NAME, PACKAGE) {
        Ok(generator) => generator,
        Err(err) => return Ok(Some(format!("no {NAME}: {err}"))),
    };
    say!("\ngenerated client: making one from /openapi.json, and using it");
    let programs = cargo::build_programs(Profile::Dev)?;
    let folder = tempfile::Builder::new()
        .prefix("oprc-client-")
        .tempdir()
        .map_err(io("making a folder for the client"))?;
    let (pm, crm) = (http::free_port(8080)?, http::free_port(9091)?);
    let mut processes = schemathesis::start(&programs, folder.path(), (pm, crm), false)?;
    for (name, port) in [("edge-1", crm), ("oprc-pm", pm)] {
        interrupt.wait_until(name, MAX_LOOKS_TO_READY, &mut processes, || {
            http::is_ok(port, "/readyz")
        })?;
    }
    let url = format!("http://127.0.0.1:{pm}");
    generate(&generator, folder.path(), &url)?;
    let script = folder.path().join("use.py");
    fs::write(&script, SCRIPT).map_err(at("writing", &script))?;
    let mut using = Command::new(generator.with_file_name("python"));
    using.arg(&script).arg(folder.path().join("client")).arg(&url);
    // A proxy of the machine would not find its loopback address.
    cargo::run(using.env("NO_PROXY", "127.0.0.1").stdin(Stdio::null()))?;
    Ok(None)
}

/// Makes the project `client` in `folder`.
fn generate(generator: &Path, folder: &Path, url: &str) -> Result<()> {
    let configuration = folder.join("generator.yaml");
    fs::write(&configuration, CONFIGURATION).map_err(at("writing", &configuration))?;
    let mut generate = Command::new(generator);
    generate.current_dir(folder).stdin(Stdio::null());
    generate.args(["generate", "--output-path", "client", "--config"]).arg(&configuration);
    generate.args(["--url", &format!("{url}/openapi.json")]);
    let output = generate.output().map_err(at("starting", generator))?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    // It also warns of YAML bodies, which it leaves out beside JSON ones.
    let left_out: Vec<&str> = told.lines().filter(|line| line.contains(LEFT_OUT)).collect();
    if !output.status.success() || !left_out.is_empty() {
        let what = if left_out.is_empty() { told.into_owned() } else { left_out.join("\n") };
        return Err(Error::Other(format!("the generator does not read the description:\n{what}")));
    }
    Ok(())
}
