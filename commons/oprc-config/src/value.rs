//! The types of single settings: each says what it wants, and a value of it satisfies that.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

/// A type that a variable can have.
///
/// `want` completes the sentence "want …" and is written into errors, the help text and the table of
/// variables, so these cannot drift from what the parser takes.
pub trait Setting: FromStr {
    /// Whether a wrong value must not be shown.
    const IS_SECRET: bool = false;

    /// What a value looks like, for example `a port, 0 to 65535`.
    fn want() -> String;
}

/// A text that is not a value of its type. [`Setting::want`] says what was expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid;

/// A whole number from `MIN` to `MAX`, both included. The unit is in the name of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a count of things in memory.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The number, taken as seconds.
    #[must_use]
    pub const fn secs(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// The number, taken as milliseconds.
    #[must_use]
    pub const fn millis(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Within<MIN, MAX> {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.parse().map_err(|_| Invalid)?;
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(Invalid) }
    }
}

impl<const MIN: u64, const MAX: u64> Setting for Within<MIN, MAX> {
    fn want() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Setting for u16 {
    fn want() -> String {
        "a port, 0 to 65535 (0: any free one)".to_owned()
    }
}

impl Setting for IpAddr {
    fn want() -> String {
        "an IP address, for example 127.0.0.1 or ::".to_owned()
    }
}

impl Setting for PathBuf {
    fn want() -> String {
        "a path".to_owned()
    }
}

impl Setting for bool {
    fn want() -> String {
        "true or false".to_owned()
    }
}

impl Setting for String {
    fn want() -> String {
        "text".to_owned()
    }
}

impl Setting for oprc_models::names::ClusterName {
    fn want() -> String {
        "the name of a cluster: 1 to 63 of [a-z0-9-], with a letter or digit at both ends"
            .to_owned()
    }
}

impl Setting for oprc_models::version::VersionPolicy {
    fn want() -> String {
        "replace or immutable".to_owned()
    }
}

/// Items separated by commas; at least one, none of them empty. White space around one is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr> FromStr for List<T> {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let items = text.split(',').map(|item| item.trim().parse().map_err(|_| Invalid));
        items.collect::<Result<_, _>>().map(Self)
    }
}

impl<T: Setting> Setting for List<T> {
    const IS_SECRET: bool = T::IS_SECRET;
    fn want() -> String {
        format!("{}; several are separated by commas", T::want())
    }
}
