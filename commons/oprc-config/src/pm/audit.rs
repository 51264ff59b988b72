//! Where it is written down who has written what.

use std::{path::PathBuf, str::FromStr};

use envconfig::Envconfig;

use crate::{
    parse::settings,
    value::{Invalid, Setting, Within},
};

settings! {
    /// Where it is written down who has written what.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Audit {
        /// Where each write is told in a line of JSON, refused ones too: `off`, `stdout`, or a file.
        log: AuditLog = "OPRC_PM_AUDIT_LOG" or "off",
        /// Size at which a file is set aside and a new one begun, in bytes.
        ///
        /// Why 100 MiB: some 250,000 writes, and still opened by an editor.
        max_bytes: Within<4096, 10_737_418_240> = "OPRC_PM_AUDIT_MAX_BYTES" or "104857600",
        /// Files kept that were set aside, `<file>.1` being the newest; the oldest is removed.
        max_files: Within<1, 1000> = "OPRC_PM_AUDIT_MAX_FILES" or "10",
        /// What becomes of a write that cannot be told: `allow` counts it and says so in the log,
        /// `refuse` answers 503 before it is begun.
        on_failure: OnFailure = "OPRC_PM_AUDIT_ON_FAILURE" or "allow",
    }
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditLog {
    /// Nowhere.
    Off,
    /// Standard output, among the log's lines.
    Stdout,
    /// This file.
    File(PathBuf),
}

impl FromStr for AuditLog {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            // A relative one is more often a slip of the pen than a file beside the program.
            path if path.starts_with('/') && !path.ends_with('/') => Ok(Self::File(path.into())),
            _ => Err(Invalid),
        }
    }
}

impl Setting for AuditLog {
    fn want() -> String {
        "off, stdout or a path that begins with /".to_owned()
    }
}

/// What becomes of a write that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes on.
    Allow,
    /// It is refused.
    Refuse,
}

impl FromStr for OnFailure {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "allow" => Ok(Self::Allow),
            "refuse" => Ok(Self::Refuse),
            _ => Err(Invalid),
        }
    }
}

impl Setting for OnFailure {
    fn want() -> String {
        "allow or refuse".to_owned()
    }
}
