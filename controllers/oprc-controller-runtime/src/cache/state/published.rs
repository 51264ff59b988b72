//! Published versions of packages. They are kept as text: there are many, and few are looked at.
//!
//! What a package is now is published too, under its version, without being stored twice
//! ([0200](../../../../../docs/decisions/0200-versions-are-archived-when-replaced.md)).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use bytes::Bytes;
use oprc_cp_storage::{Revision, keys::Key};
use oprc_models::{
    dependency::Dependency,
    names::PackageName,
    package::OPackage,
    version::{PackageVersion, Requirement, StoredVersion, highest},
};

use super::{Entry, State};

/// Who needs a package by published versions that are not what they are now: by package, by
/// dependant, how many versions of it say so, by what they say.
pub(super) type Needs = BTreeMap<PackageName, BTreeMap<PackageName, BTreeMap<Box<str>, usize>>>;

/// A published version as it is stored.
#[derive(Debug)]
pub struct PackedVersion {
    /// The incarnation of the package that published it.
    pub uid: Box<str>,
    needs: Box<[Box<str>]>,
    stored: Bytes,
}

impl PackedVersion {
    /// What is `stored`.
    ///
    /// # Errors
    ///
    /// It is not a published version.
    pub fn new(stored: Bytes) -> Result<Self, serde_json::Error> {
        let version: StoredVersion = serde_json::from_slice(&stored)?;
        let needs = version.spec.dependencies.into_iter().map(String::into_boxed_str).collect();
        Ok(Self { uid: version.uid.into(), needs, stored })
    }

    /// The version.
    #[must_use]
    pub fn unpack(&self) -> StoredVersion {
        serde_json::from_slice(&self.stored).expect("it was read from the same text before")
    }

    fn needs(&self) -> impl Iterator<Item = (PackageName, &str)> {
        let parsed =
            self.needs.iter().filter_map(|text| Some((Dependency::parse(text).ok()?, text)));
        parsed.map(|(dependency, text)| (dependency.name, &**text))
    }
}

impl State {
    /// The published versions of the package, the lowest first: what it is now among them.
    #[must_use]
    pub fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        let Some(package) = self.packages.get(name) else { return Vec::new() };
        let uid = package.value.meta.uid.as_str();
        let archived = self.package_versions.get(name).into_iter().flatten();
        let archived = archived.filter(|(_, entry)| &*entry.value.uid == uid);
        let mut versions: Vec<PackageVersion> =
            archived.map(|(version, _)| version.clone()).collect();
        if let Some(own) = PackageVersion::of(&package.value.spec)
            && let Err(at) = versions.binary_search(&own)
        {
            versions.insert(at, own);
        }
        versions
    }

    /// What is published of the package under `version`: its name, version, classes, functions and
    /// dependencies. Of what it is now, all of it.
    #[must_use]
    pub fn version(
        &self,
        name: &PackageName,
        version: &PackageVersion,
    ) -> Option<Cow<'_, OPackage>> {
        let package = self.packages.get(name)?;
        if PackageVersion::of(&package.value.spec).as_ref() == Some(version) {
            return Some(Cow::Borrowed(&package.value.spec));
        }
        let archived = self.archived_version(name, &package.value.meta.uid, version)?;
        Some(Cow::Owned(archived.value.unpack().spec))
    }

    /// What the incarnation `uid` of the package published under `version`, beside what it is now.
    #[must_use]
    pub fn archived_version(
        &self,
        name: &PackageName,
        uid: &str,
        version: &PackageVersion,
    ) -> Option<&Entry<PackedVersion>> {
        let entry = self.package_versions.get(name)?.get(version)?;
        (&*entry.value.uid == uid).then_some(entry)
    }

    /// The published versions of the package that something resolves to: a deployment that pins one,
    /// or a package that needs one, by what it is now or by any version of it that is kept.
    #[must_use]
    pub fn versions_in_use(&self, name: &PackageName) -> BTreeSet<PackageVersion> {
        let spec = |key| self.deployments.get(key).map(|entry| &entry.value.spec);
        let deployments = self.deployments_of_package(name).iter().filter_map(spec);
        let pins: BTreeSet<&str> =
            deployments.filter_map(|spec| spec.package_version.as_deref()).collect();
        let package = |name| self.packages.get(name).map(|entry| &entry.value.spec);
        let dependants = self.dependants_of_package(name).iter().filter_map(package);
        let now = dependants.flat_map(|spec| spec.dependencies.iter().map(String::as_str));
        let by_versions = self.needed_by_versions(name).flat_map(|(_, texts)| texts);
        let texts: BTreeSet<&str> = now.chain(by_versions).collect();
        let dependencies = texts.into_iter().filter_map(|text| Dependency::parse(text).ok());
        let needed = dependencies.filter(|it| it.name == *name).filter_map(|it| it.requirement);
        let pinned = pins.into_iter().filter_map(|text| text.parse::<Requirement>().ok());
        let versions = self.versions(name);
        let found = pinned.chain(needed).filter_map(|it| highest(&it, &versions).cloned());
        found.collect()
    }

    /// The packages of which published versions need `name`, that they are not now; and what each
    /// says of it, as in their documents.
    pub fn needed_by_versions(
        &self,
        name: &PackageName,
    ) -> impl Iterator<Item = (&PackageName, impl Iterator<Item = &str>)> {
        let dependants = self.needs_of_versions.get(name).into_iter().flatten();
        dependants.map(|(dependant, texts)| (dependant, texts.keys().map(|text| &**text)))
    }

    pub(super) fn set_version(
        &mut self,
        name: &PackageName,
        version: &PackageVersion,
        new: Option<Entry<PackedVersion>>,
    ) {
        let added = new.as_ref().map(|entry| std::sync::Arc::clone(&entry.value));
        let versions = self.package_versions.entry(name.clone()).or_default();
        let old = super::set(versions, version, new);
        if versions.is_empty() {
            self.package_versions.remove(name);
        }
        for (needed, text) in added.iter().flat_map(|version| version.needs()) {
            let texts = self.needs_of_versions.entry(needed).or_default().entry(name.clone());
            *texts.or_default().entry(text.into()).or_default() += 1;
        }
        for (needed, text) in old.iter().flat_map(|entry| entry.value.needs()) {
            let Some(dependants) = self.needs_of_versions.get_mut(&needed) else { continue };
            let Some(texts) = dependants.get_mut(name) else { continue };
            if let Some(n_versions) = texts.get_mut(text) {
                *n_versions -= 1;
                if *n_versions == 0 {
                    texts.remove(text);
                }
            }
            if texts.is_empty() {
                dependants.remove(name);
            }
            if dependants.is_empty() {
                self.needs_of_versions.remove(&needed);
            }
        }
    }

    /// The keys of published versions after `after` and up to `until`, and the revisions of their
    /// last writes.
    ///
    /// In the order of keys `a-b/` is before `a/`, in that of names it is not. So what may lie
    /// between is, besides the names between, those that the first begins with, and those that begin
    /// with the last.
    pub(super) fn published_within(
        &self,
        after: Option<&str>,
        until: Option<&str>,
    ) -> BTreeMap<String, Revision> {
        let name_of = |key: &'_ str| {
            let rest = key.strip_prefix("package-versions/").unwrap_or_default();
            rest.split_once('/').map_or(rest, |(name, _)| name).to_owned()
        };
        let first = after.map(name_of).unwrap_or_default();
        let last = until.map(name_of);
        let cuts = first.char_indices().filter(|(_, it)| matches!(it, '-' | '.'));
        let beginnings = cuts.filter_map(|(at, _)| first.get(..at));
        let shorter = beginnings.filter_map(|name| self.package_versions.get_key_value(name));
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        let between = self.package_versions.range::<str, _>(from).take_while(|(name, _)| {
            let name = name.as_str();
            last.as_deref().is_none_or(|last| name <= last || name.starts_with(last))
        });
        let keys = shorter.chain(between).flat_map(|(name, versions)| {
            versions.iter().map(|(version, entry)| {
                let key = Key::PackageVersion(name.clone(), version.clone());
                (key.to_string(), entry.revision)
            })
        });
        let is_within = |key: &str| {
            after.is_none_or(|after| key > after) && until.is_none_or(|until| key <= until)
        };
        keys.filter(|(key, _)| is_within(key)).collect()
    }
}

#[cfg(test)]
mod tests;
