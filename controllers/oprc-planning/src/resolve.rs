//! Which version of a package is meant, and what needs what.
//!
//! Without a requirement, what the package is now; with one, the highest published version that will
//! do. The newest is what most follow, and what runs by a requirement does not change with it.

use std::{borrow::Cow, fmt};

use oprc_models::{
    dependency::Dependency,
    names::PackageName,
    package::OPackage,
    version::{PackageVersion, Requirement, highest, named},
};

/// Where packages and their versions are looked up.
pub trait Packages<'a> {
    /// What a package is now.
    fn package(&self, name: &PackageName) -> Option<&'a OPackage>;
    /// Its published versions, what it is now among them.
    fn versions(&self, name: &PackageName) -> Vec<PackageVersion>;
    /// What is published of it under a version.
    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>>;
}

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// The package.
    pub name: PackageName,
    /// The version; none: what the package is now.
    pub version: Option<PackageVersion>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            None => write!(f, "{}", self.name),
            Some(version) => write!(f, "{}@{version}", self.name),
        }
    }
}

/// What was meant.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Which it is.
    pub node: Node,
    /// What is published as it. Of what the package is now, all of it.
    pub package: Cow<'a, OPackage>,
}

/// Why there is nothing that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no such package.
    #[error("package {0} does not exist")]
    Package(PackageName),
    /// No version of it will do.
    #[error("no version of package {package} satisfies {requirement}: {}", named(there))]
    Version {
        /// The package.
        package: PackageName,
        /// What is required.
        requirement: String,
        /// What there is.
        there: Vec<PackageVersion>,
    },
}

/// What is meant by the package `name` where this is required of it.
///
/// # Errors
///
/// [`NotFound`]; it may come later.
pub fn find<'a>(
    packages: &impl Packages<'a>,
    name: &PackageName,
    requirement: Option<&Requirement>,
) -> Result<Found<'a>, NotFound> {
    let now = packages.package(name).ok_or_else(|| NotFound::Package(name.clone()))?;
    let node = |version| Node { name: name.clone(), version };
    let Some(requirement) = requirement else {
        return Ok(Found { node: node(None), package: Cow::Borrowed(now) });
    };
    let there = packages.versions(name);
    let chosen = highest(requirement, &there);
    if chosen.is_some() && chosen == PackageVersion::of(now).as_ref() {
        return Ok(Found { node: node(None), package: Cow::Borrowed(now) });
    }
    let found = chosen.and_then(|version| Some((version, packages.version(name, version)?)));
    match found {
        Some((version, package)) => Ok(Found { node: node(Some(version.clone())), package }),
        None => {
            let requirement = requirement.to_string();
            Err(NotFound::Version { package: name.clone(), requirement, there })
        }
    }
}

/// The dependencies of `package`, and what is meant by each.
pub fn needs<'a, 'p>(
    packages: &'p impl Packages<'a>,
    package: &'p OPackage,
) -> impl Iterator<Item = (Dependency, Result<Found<'a>, NotFound>)> + 'p {
    let parsed = package.dependencies.iter().filter_map(|text| Dependency::parse(text).ok());
    parsed.map(|dependency| {
        let found = find(packages, &dependency.name, dependency.requirement.as_ref());
        (dependency, found)
    })
}
