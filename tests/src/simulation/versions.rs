//! Versions in stories: which version each pushed package has, which deployments pin one, and what may
//! be published under a version.
//!
//! Invariant of a story: what is archived under a version was asked for under that version.

use std::collections::{BTreeMap, BTreeSet};

use oprc_models::{
    deployment::OClassDeployment,
    names::PackageName,
    package::OPackage,
    version::{PackageVersion, StoredVersion, content},
};
use oprc_pm_api::writes::DocumentSpec;
use serde_json::{Value, json};

use super::{documents::digest, users::Wish, world::World};

/// The contents that users ask for, by package and version.
#[derive(Debug, Default)]
pub(crate) struct Asked(BTreeMap<(PackageName, PackageVersion), BTreeSet<u64>>);

impl Asked {
    /// Notes what `wish` asks for.
    pub(crate) fn note(&mut self, wish: &Wish) {
        for package in packages_of(wish) {
            if let Some(version) = PackageVersion::of(package) {
                let key = (package.name.clone(), version);
                self.0.entry(key).or_default().insert(digest(&content(package)));
            }
        }
    }
}

impl World {
    /// What is archived under `version` was asked for under it.
    pub(crate) fn check_version(
        &mut self,
        name: &PackageName,
        version: &PackageVersion,
        stored: Option<StoredVersion>,
    ) {
        // What is damaged is no version, and says nothing.
        let Some(stored) = stored else { return };
        let asked = self.asked.0.get(&(name.clone(), version.clone()));
        if asked.is_none_or(|asked| !asked.contains(&digest(&stored.spec))) {
            self.violated(format!("{name}@{version} is published as what was never asked for"));
        }
    }
}

fn packages_of(wish: &Wish) -> Vec<&OPackage> {
    match wish {
        Wish::PutPackage(package) => vec![&**package],
        Wish::PushBundle(push) => {
            let packages = push.documents.iter().filter_map(|document| match &document.spec {
                DocumentSpec::Package(package) => Some(package),
                DocumentSpec::Deployment(_) => None,
            });
            packages.collect()
        }
        _ => Vec::new(),
    }
}

/// One document that a wish asks for.
enum Wanted<'a> {
    Package(&'a mut OPackage),
    Deployment(&'a mut OClassDeployment),
}

fn wanted(wish: &mut Wish) -> Vec<Wanted<'_>> {
    match wish {
        Wish::PutPackage(package) => vec![Wanted::Package(package)],
        Wish::PutDeployment(deployment, _) => vec![Wanted::Deployment(deployment)],
        Wish::PushBundle(push) => {
            let documents = push.documents.iter_mut().map(|document| match &mut document.spec {
                DocumentSpec::Package(package) => Wanted::Package(package),
                DocumentSpec::Deployment(deployment) => Wanted::Deployment(deployment),
            });
            documents.collect()
        }
        _ => Vec::new(),
    }
}

/// What a package said last.
#[derive(Default)]
struct Said {
    content: Value,
    number: u32,
    n_changes: u32,
}

/// Gives each package that is asked for, in this order, a version. One that says what the package
/// said last keeps its version, and `p1` has none at all. With `with_replaced`, some changes keep the
/// version or go back to an earlier one, which they replace, and some deployments pin versions;
/// without, each change has a version of its own, above all before it.
pub(crate) fn number<'a>(wishes: impl Iterator<Item = &'a mut Wish>, with_replaced: bool) {
    let mut said: BTreeMap<PackageName, Said> = BTreeMap::new();
    let (mut n_versions, mut n_deployments) = (0, 0);
    for wanted in wishes.flat_map(wanted) {
        match wanted {
            Wanted::Package(package) if package.name.as_str() == "p1" => {}
            Wanted::Package(package) => {
                let OPackage { classes, functions, dependencies, .. } = &*package;
                let content = json!([classes, functions, dependencies]);
                let last = said.entry(package.name.clone()).or_default();
                if last.content != content {
                    last.content = content;
                    last.n_changes += 1;
                    let number = match last.n_changes % 4 {
                        2 if with_replaced => last.number,
                        0 if with_replaced => (last.number / 2).max(1),
                        _ => {
                            n_versions += 1;
                            n_versions
                        }
                    };
                    last.number = number;
                }
                package.version = Some(format!("1.{}.0", last.number));
            }
            Wanted::Deployment(deployment) if with_replaced => {
                n_deployments += 1;
                let number = said.get(&deployment.package_name).map(|said| said.number);
                deployment.package_version = match (n_deployments % 4, number) {
                    (1, Some(number)) => Some(format!("=1.{number}.0")),
                    (3, Some(_)) => Some("^1".to_owned()),
                    _ => None,
                };
            }
            Wanted::Deployment(_) => {}
        }
    }
}
