//! Contexts: servers by name, in the user's configuration folder.
//!
//! The file holds tokens: it is readable by its owner alone and replaced whole, so a crash leaves
//! the old one. A token goes only to the server it was given for: a context's to the context's
//! server, the environment's to the server that the environment names.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use oprc_client::{Endpoint, is_loopback, parse_server};
use serde::{Deserialize, Serialize};

use crate::{args::Global, error::Error};

/// The server when none is named.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The file in the configuration folder.
const FILE: &str = "config.json";

/// What the process' environment says.
#[derive(Clone, Default)]
pub struct Environment {
    /// `OPRC_SERVER`.
    pub server: Option<String>,
    /// `OPRC_TOKEN`.
    pub token: Option<String>,
    /// The folder that contexts are kept in; none: there is nowhere to keep them.
    pub config_dir: Option<PathBuf>,
}

/// All contexts.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Contexts {
    /// The one in use. It stays when that context is removed, so that commands do not go to another
    /// server unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One server.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Context {
    pub(crate) server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_cert: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) insecure_skip_verify: bool,
}

impl Contexts {
    /// Those of the folder; none where there is no file.
    pub(crate) fn load(dir: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = dir.map(|dir| dir.join(FILE)) else { return Ok(Self::default()) };
        let what = || format!("cannot read the contexts {}", path.display());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(Error::Local { what: what(), source }),
        };
        // The parser's text may quote the file, and so a token: only the place is told.
        serde_json::from_slice(&bytes).map_err(|err| {
            let place = format!("line {}, column {}", err.line(), err.column());
            Error::usage(format!("{}: not as `oprc context set` writes it ({place})", what()))
        })
    }

    /// Replaces the file of the folder.
    pub(crate) fn store(&self, dir: Option<&Path>) -> Result<(), Error> {
        let Some(dir) = dir else {
            return Err(Error::usage("nowhere to keep contexts: neither XDG_CONFIG_HOME nor HOME"));
        };
        let write = || -> io::Result<()> {
            // Tokens are in there.
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            // A temporary file is its owner's alone (0600) from the start.
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(dir.join(FILE))?;
            Ok(())
        };
        let what = format!("cannot write the contexts {}", dir.join(FILE).display());
        write().map_err(|source| Error::Local { what, source })
    }

    /// Returns the name of the context in use, if it was not removed.
    pub(crate) fn current(&self) -> Option<&str> {
        self.current.as_deref().filter(|name| self.contexts.contains_key(*name))
    }

    /// The context of this name.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Error> {
        self.contexts.get(name).ok_or_else(|| {
            Error::Unknown(format!("no context {name:?}; there is: {}", self.names()))
        })
    }

    /// Returns the names of all contexts, for people.
    fn names(&self) -> String {
        let names: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// The server to speak to, and what its user should know.
pub(crate) struct Chosen {
    pub(crate) endpoint: Endpoint,
    pub(crate) warnings: Vec<String>,
}

/// Chooses the server to speak to.
///
/// The first that is named, of: `--server`, `--context`, `OPRC_SERVER`, the current context, the
/// default. `OPRC_TOKEN` is sent only to the server that would be chosen without `--server` and
/// `--context`.
pub(crate) fn resolve(global: &Global, environment: &Environment) -> Result<Chosen, Error> {
    let named = match (&global.server, &global.context) {
        (Some(server), _) => Some(server),
        (None, Some(_)) => None,
        (None, None) => environment.server.as_ref(),
    };
    let context = match named {
        Some(_) => None,
        None => chosen(global, environment)?,
    };
    let (server, token, ca_cert, skip_verify) = match (named, context) {
        (None, Some(context)) => {
            (context.server, context.token, context.ca_cert, context.insecure_skip_verify)
        }
        (named, _) => {
            let server = named.map_or(DEFAULT_SERVER, String::as_str).to_owned();
            (server, None, None, false)
        }
    };
    let mut warnings = Vec::new();
    let mut token = global.token.clone().or(token);
    if token.is_none() && environment.token.is_some() {
        let meant = meant_by_environment(environment)?;
        if is_same(&server, &meant) {
            token.clone_from(&environment.token);
        } else if parse_server(&server).is_ok() {
            // A URL that is refused may hold a password: it is not repeated.
            warnings.push(format!(
                "OPRC_TOKEN is for {meant} and was not sent to {server}: give --token, or set \
                 OPRC_SERVER"
            ));
        }
    }
    if let Some(url) = parse_server(&server).ok().filter(|_| token.is_some())
        && url.scheme() == "http"
        && !is_loopback(&url)
    {
        warnings.push(format!(
            "the token is sent to {server} without encryption, for everyone on the way to read"
        ));
    }
    let endpoint = Endpoint {
        server,
        token,
        ca_cert: global.ca_cert.clone().or(ca_cert),
        skip_verify: global.insecure_skip_verify || skip_verify,
    };
    Ok(Chosen { endpoint, warnings })
}

/// The server that the environment's token is for: `OPRC_SERVER`, else the current context's, else
/// the default.
fn meant_by_environment(environment: &Environment) -> Result<String, Error> {
    if let Some(server) = &environment.server {
        return Ok(server.clone());
    }
    let current = chosen(&Global::default(), environment)?;
    Ok(current.map_or_else(|| DEFAULT_SERVER.to_owned(), |context| context.server))
}

/// Returns `true` if both are the same server, however they are written.
fn is_same(one: &str, other: &str) -> bool {
    let plain = |server: &str| {
        parse_server(server).ok().map(|url| url.as_str().trim_end_matches('/').to_owned())
    };
    plain(one).is_some_and(|one| plain(other) == Some(one))
}

/// The context that `--context` names, else the current one.
fn chosen(global: &Global, environment: &Environment) -> Result<Option<Context>, Error> {
    let contexts = Contexts::load(environment.config_dir.as_deref())?;
    if let Some(name) = &global.context {
        return contexts.get(name).cloned().map(Some);
    }
    match contexts.current() {
        Some(name) => contexts.get(name).cloned().map(Some),
        None if contexts.contexts.is_empty() && contexts.current.is_none() => Ok(None),
        None => {
            let names = contexts.names();
            Err(Error::usage(format!(
                "no context is in use; choose one with `oprc context use NAME`, or name a server \
                 with --server or OPRC_SERVER; there is: {names}"
            )))
        }
    }
}

/// The context that the command line describes.
pub(crate) fn described(global: &Global) -> Result<Context, Error> {
    let Some(server) = &global.server else {
        return Err(Error::usage("which server? give --server URL"));
    };
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|source| Error::Local {
            what: format!("cannot find {}", path.display()),
            source,
        })
    };
    Ok(Context {
        server: parse_server(server)?.as_str().trim_end_matches('/').to_owned(),
        token: global.token.clone(),
        ca_cert: global.ca_cert.as_ref().map(absolute).transpose()?,
        insecure_skip_verify: global.insecure_skip_verify,
    })
}

#[cfg(test)]
mod tests;
