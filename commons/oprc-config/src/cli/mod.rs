//! What the command line `oprc` takes from the environment.

use std::{collections::BTreeMap, path::PathBuf};

use envconfig::Envconfig;

use crate::{
    Endpoint, Secret, env,
    parse::{Mistakes, Parser, Settings as _, Variable, settings},
};

settings! {
    /// The variables of `oprc` itself.
    struct Variables {
        /// URL of the Package Manager, unless `--server` or a context names one.
        server: Option<Endpoint> = "OPRC_SERVER",
        /// Token sent to the Package Manager, unless `--token` or a context gives one.
        token: Option<Secret> = "OPRC_TOKEN",
    }
}

/// The variables of `oprc`, for `--help` and the README.
pub const VARIABLES: &[Variable] = Variables::VARIABLES;

/// What `oprc` takes from the environment.
pub struct Config {
    /// URL of the Package Manager.
    pub server: Option<Endpoint>,
    /// Token sent to it.
    pub token: Option<Secret>,
    /// The folder of the user's settings: `$XDG_CONFIG_HOME/oprc`, else `$HOME/.config/oprc`.
    /// `None`: neither is set.
    pub config_dir: Option<PathBuf>,
    /// Whether `NO_COLOR` asks for plain text.
    pub is_plain: bool,
}

impl Config {
    /// Reads the environment of the process.
    ///
    /// Other variables that begin with `OPRC_` are not mistakes here: somebody who runs servers and
    /// the command line from one shell has them set.
    ///
    /// # Errors
    ///
    /// Every mistake found.
    pub fn from_env() -> Result<Self, Mistakes> {
        let names = ["OPRC_SERVER", "OPRC_TOKEN", "HOME", "XDG_CONFIG_HOME", "NO_COLOR"];
        Self::parse(env::named(&names))
    }

    /// Parses `variables`.
    ///
    /// # Errors
    ///
    /// Every mistake found.
    pub fn parse(mut variables: BTreeMap<String, String>) -> Result<Self, Mistakes> {
        let mut folder = |name: &str| {
            let value = variables.remove(name)?;
            // The XDG specification has a relative path ignored.
            Some(PathBuf::from(value)).filter(|path| path.is_absolute())
        };
        let xdg = folder("XDG_CONFIG_HOME");
        let config = xdg.or_else(|| folder("HOME").map(|home| home.join(".config")));
        let is_plain = variables.remove("NO_COLOR").is_some_and(|value| !value.is_empty());

        let mut parser = Parser::new(variables, "OPRC_");
        let Variables { server, token } = parser.section();
        parser.finish()?;
        Ok(Self { server, token, config_dir: config.map(|dir| dir.join("oprc")), is_plain })
    }
}

#[cfg(test)]
mod tests;
