//! Versions of packages: how they are read and compared, and what is published under one.
//!
//! Pure. It knows nothing of which versions there are; callers say.
//!
//! What is published under a version is what the package *is*: classes, functions, dependencies.
//! Labels, facts for people and inline deployments may change under the same version.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use semver::{BuildMetadata, Version};
use serde::{Deserialize, Serialize};

use crate::{
    canonical::Canonical,
    dependency::{lenient_version, parse_requirement},
    meta::{Stored, Timestamp},
    package::{OPackage, PackageMetadata},
};

/// Which versions will do, as Cargo reads it: `^1.2`, `>=1, <3`, `=1.0.0`; `1.2` is `^1.2`. A
/// pre-release will do only where a part of it names one of the same version.
pub type Requirement = semver::VersionReq;

/// Versions that a message names, at most.
const MAX_NAMED: usize = 10;

/// A version of a package, for example `1.2.0` or `2.0.0-rc.1`; ordered by precedence.
///
/// Invariant: without build metadata, which says nothing about precedence, so that versions that are
/// equal are the same. Its text is one segment of a store key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageVersion(Version);

impl PackageVersion {
    /// The version that people mean: `1.0` is 1.0.0, and `v2` is 2.0.0. None: not a version.
    #[must_use]
    pub fn lenient(text: &str) -> Option<Self> {
        let version = lenient_version(text)?;
        Some(Self(Version { build: BuildMetadata::EMPTY, ..version }))
    }

    /// The version of `package`, if it has one.
    #[must_use]
    pub fn of(package: &OPackage) -> Option<Self> {
        package.version.as_deref().and_then(Self::lenient)
    }

    /// Whether it comes before its release.
    #[must_use]
    pub fn is_pre_release(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Whether a package of the version `other` becomes this one when it is pushed: a release goes
    /// before all pre-releases, and of two alike the higher. A total order, so the newest is the
    /// same in whatever order they are pushed.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (!self.is_pre_release(), self) > (!other.is_pre_release(), other)
    }

    /// Whether it will do where `requirement` is asked for.
    #[must_use]
    pub fn satisfies(&self, requirement: &Requirement) -> bool {
        requirement.matches(&self.0)
    }
}

impl fmt::Display for PackageVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A text that is not the one way to write a [`PackageVersion`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: want for example 1.2.0 or 2.0.0-rc.1")]
pub struct InvalidVersion;

impl FromStr for PackageVersion {
    type Err = InvalidVersion;

    /// As it is displayed, and in no other way.
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let version: Version = text.parse().map_err(|_| InvalidVersion)?;
        if version.build.is_empty() { Ok(Self(version)) } else { Err(InvalidVersion) }
    }
}

/// What is asked for of a package's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Exactly(PackageVersion),
    /// The highest that will do.
    Highest(Requirement),
}

impl Wanted {
    /// Reads `1.0` as the version, and `^1` as a requirement.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(version) = PackageVersion::lenient(text) {
            return Ok(Self::Exactly(version));
        }
        parse_requirement(text).map(Self::Highest).map_err(|(given, reason)| {
            format!("{given} is neither a version nor a requirement ({reason}): want 1.2.0 or ^1")
        })
    }

    /// The one of `versions` that is meant.
    #[must_use]
    pub fn of<'v>(
        &self,
        versions: impl IntoIterator<Item = &'v PackageVersion>,
    ) -> Option<&'v PackageVersion> {
        match self {
            Self::Exactly(version) => versions.into_iter().find(|other| *other == version),
            Self::Highest(requirement) => highest(requirement, versions),
        }
    }
}

/// The highest of `versions` that will do.
#[must_use]
pub fn highest<'v>(
    requirement: &Requirement,
    versions: impl IntoIterator<Item = &'v PackageVersion>,
) -> Option<&'v PackageVersion> {
    versions.into_iter().filter(|version| version.satisfies(requirement)).max()
}

/// Which `versions` there are, for people: the highest first, and not too many.
#[must_use]
pub fn named(versions: &[PackageVersion]) -> String {
    if versions.is_empty() {
        return "there is none".to_owned();
    }
    let mut sorted: Vec<&PackageVersion> = versions.iter().collect();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    let n_more = sorted.len().saturating_sub(MAX_NAMED);
    sorted.truncate(MAX_NAMED);
    let names: Vec<String> = sorted.into_iter().map(ToString::to_string).collect();
    let more = if n_more == 0 { String::new() } else { format!(" and {n_more} more") };
    let verb = if versions.len() == 1 { "is" } else { "are" };
    format!("there {verb} {}{more}", names.join(", "))
}

/// Treatment of a push that changes what is published under its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VersionPolicy {
    /// It replaces the version, unless the package's metadata says that it is immutable.
    #[default]
    Replace,
    /// It is refused.
    Immutable,
}

/// A text that names no [`VersionPolicy`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a policy: want replace or immutable")]
pub struct InvalidPolicy;

impl FromStr for VersionPolicy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        match text {
            "replace" => Ok(Self::Replace),
            "immutable" => Ok(Self::Immutable),
            _ => Err(InvalidPolicy),
        }
    }
}

/// A published version of a package, as the store keeps those that are not the package's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredVersion {
    /// The incarnation of the package that it was published by.
    pub uid: String,
    /// When it was published.
    pub created_at: Timestamp,
    /// Tells contents apart; for people and caches: what decides is the content.
    pub content_hash: String,
    /// `true` if the package's metadata said so when it was published.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// The content, with the package's name and the version as it was written.
    pub spec: OPackage,
}

impl StoredVersion {
    /// What `package` publishes, at `created_at`.
    #[must_use]
    pub fn new(uid: String, created_at: Timestamp, package: &OPackage) -> Self {
        let spec = content(package);
        let immutable = package.metadata.immutable;
        Self { uid, created_at, content_hash: content_hash(&spec), immutable, spec }
    }

    /// What the stored package publishes by its version.
    #[must_use]
    pub fn of(stored: &Stored<OPackage>) -> Self {
        let meta = &stored.meta;
        // Packages of before there were versions do not say when.
        let created_at = meta.version_created_at.unwrap_or(meta.updated_at);
        Self::new(meta.uid.clone(), created_at, &stored.spec)
    }
}

/// What of `package` is published under its version.
#[must_use]
pub fn content(package: &OPackage) -> OPackage {
    OPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        metadata: PackageMetadata::default(),
        classes: package.classes.clone(),
        functions: package.functions.clone(),
        dependencies: package.dependencies.clone(),
        deployments: Vec::new(),
        labels: std::collections::BTreeMap::new(),
    }
}

/// Whether two packages publish the same.
#[must_use]
pub fn is_same_content(one: &OPackage, other: &OPackage) -> bool {
    let is_equal = one.classes == other.classes
        && one.functions == other.functions
        && one.dependencies == other.dependencies;
    is_equal || {
        let parts = |package: &OPackage| {
            let OPackage { classes, functions, dependencies, .. } = content(package).canonical();
            (classes, functions, dependencies)
        };
        parts(one) == parts(other)
    }
}

fn content_hash(content: &OPackage) -> String {
    let content = content.canonical();
    let parts = (&content.classes, &content.functions, &content.dependencies);
    // Structs and ordered maps of texts and numbers: nothing that has no JSON form.
    let text = serde_json::to_vec(&parts).unwrap_or_default();
    blake3::hash(&text).to_hex().as_str().chars().take(32).collect()
}

/// A published version, as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    /// The version, in full: `1.0` is `1.0.0`.
    pub version: String,
    /// When it was published.
    pub created_at: Timestamp,
    /// Tells contents apart.
    pub content_hash: String,
    /// Whether it is what the package is now.
    pub current: bool,
    /// Whether it is that, or a deployment or a dependency resolves to it.
    pub in_use: bool,
}

/// What a version has beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct PublishedAs {
    /// Which version it is.
    pub published: Published,
}

#[cfg(test)]
mod tests;
