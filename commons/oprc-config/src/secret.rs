//! Secrets: values that must appear in no log, error, status or metric.

use std::{fs, io, path::PathBuf, str::FromStr};

use crate::value::{Invalid, Setting};

/// The largest file that a secret is read from. A bound against a path that names something else.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Values that stand in manifests and examples until somebody replaces them.
const PLACEHOLDERS: [&str; 3] = ["change-me", "changeme", "replace-me"];

/// A password or a token.
///
/// There is no `Debug`, `Display` or `Serialize`, and a struct that holds one cannot derive them: to
/// show a secret one has to write [`Secret::expose`], which is easy to search for.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Secret(Box<str>);

impl Secret {
    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Invalid;
    /// Visible ASCII only: what an HTTP header can carry, and no stray line end of a file. A
    /// placeholder is no secret: everyone knows it.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if PLACEHOLDERS.iter().any(|placeholder| text.eq_ignore_ascii_case(placeholder)) {
            return Err(Invalid);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            Ok(Self(text.into()))
        } else {
            Err(Invalid)
        }
    }
}

impl Setting for Secret {
    const IS_SECRET: bool = true;
    fn want() -> String {
        "printable ASCII, and no placeholder as change-me".to_owned()
    }
}

/// Where a secret comes from.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum Credential {
    /// Given as such; the same for the life of the process.
    Value(Secret),
    /// In a file, to be read again when the other side refuses: a rotated credential then takes
    /// effect without a restart.
    File(PathBuf),
}

impl Credential {
    /// The secret as it is now. White space around the contents of a file is not part of it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is larger than 64 KiB, is empty, or is not printable ASCII. The
    /// error never holds the contents.
    pub fn read(&self) -> io::Result<Secret> {
        let path = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let invalid = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
        if fs::metadata(path)?.len() > MAX_FILE_BYTES {
            return Err(invalid("larger than 64 KiB: not a secret"));
        }
        let text = fs::read(path)?;
        let text = str::from_utf8(&text).map_err(|_| invalid("not printable ASCII"))?.trim();
        text.parse().map_err(|Invalid| invalid("empty, a placeholder, or not printable ASCII"))
    }
}

#[cfg(test)]
mod tests;
