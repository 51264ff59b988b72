//! Dependencies between packages: `name`, or `name@<semver requirement>`.

use std::{cmp::Reverse, fmt, str::FromStr};

use semver::{BuildMetadata, Prerelease, Version, VersionReq};

use crate::{
    names::{InvalidName, Key, PackageName},
    text::{Quoted, clipped},
};

/// What a dependency looks like, as a regular expression: the package's name, and after an `@` what
/// only a parser can tell.
pub(crate) const PATTERN: &str = r"^\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(@[\s\S]*)?$";

/// A package that another needs, and the versions of it that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The package.
    pub name: PackageName,
    /// The versions that will do; none: any, or none at all.
    pub requirement: Option<VersionReq>,
}

/// A text that is not a [`Dependency`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDependency {
    /// The part before the `@` is not a package's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The part after the `@` is not a requirement.
    #[error("{given} is not a semver requirement ({reason}): want for example ^1.2 or >=1, <3")]
    Requirement {
        /// The beginning of what was given, in quotes.
        given: String,
        /// Why not.
        reason: String,
    },
}

impl Dependency {
    /// Parses `name` or `name@<requirement>`; white space around either part is ignored.
    ///
    /// # Errors
    ///
    /// Which part is wrong, and what was expected.
    pub fn parse(text: &str) -> Result<Self, InvalidDependency> {
        let Some((name, requirement)) = text.split_once('@') else {
            return Ok(Self { name: text.trim().parse()?, requirement: None });
        };
        let name = name.trim().parse()?;
        let requirement = parse_requirement(requirement)
            .map_err(|(given, reason)| InvalidDependency::Requirement { given, reason })?;
        Ok(Self { name, requirement: Some(requirement) })
    }
}

/// The requirement in `text`; else the beginning of what was given, in quotes, and why not.
pub(crate) fn parse_requirement(text: &str) -> Result<VersionReq, (String, String)> {
    let text = text.trim();
    text.parse().map_err(|error: semver::Error| {
        (Quoted(text).to_string(), clipped(&error.to_string(), 120))
    })
}

impl FromStr for Dependency {
    type Err = InvalidDependency;

    fn from_str(text: &str) -> Result<Self, InvalidDependency> {
        Self::parse(text)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.requirement {
            None => write!(f, "{}", self.name),
            Some(requirement) => write!(f, "{}@{requirement}", self.name),
        }
    }
}

/// The semantic version that people mean: `1.0` is 1.0.0, and `v2` is 2.0.0. None: not a version.
#[must_use]
pub fn lenient_version(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at_checked(end)?;
    let mut parts = [0_u64; 3];
    for (i, number) in numbers.split('.').enumerate() {
        let is_digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        *parts.get_mut(i)? = is_digits.then(|| number.parse().ok()).flatten()?;
    }
    let (pre, build) = rest.split_once('+').unwrap_or((rest, ""));
    let pre = Prerelease::new(pre.strip_prefix('-').unwrap_or(pre)).ok()?;
    let build = BuildMetadata::new(build).ok()?;
    let [major, minor, patch] = parts;
    Some(Version { major, minor, patch, pre, build })
}

/// The ways to read `function_key` as `package.function` of one of `dependencies`: both names may
/// hold dots, so there may be several. The longest package name first.
#[must_use]
pub fn foreign_functions<'a>(
    function_key: &Key,
    dependencies: impl IntoIterator<Item = &'a Dependency>,
) -> Vec<(&'a Dependency, Key)> {
    let split = |dependency: &'a Dependency| {
        let rest = function_key.as_str().strip_prefix(dependency.name.as_str())?;
        Some((dependency, rest.strip_prefix('.')?.parse().ok()?))
    };
    let mut found: Vec<_> = dependencies.into_iter().filter_map(split).collect();
    found.sort_by_key(|(dependency, _)| Reverse(dependency.name.as_str().len()));
    found
}

#[cfg(test)]
mod tests;
