//! Packages as they will be once what is pushed has landed, as far as the cache tells.

use std::borrow::Cow;

use oprc_controller_runtime::cache::State;
use oprc_models::{meta::Stored, names::PackageName, package::OPackage, version::PackageVersion};
use oprc_planning::resolve::{Node, Packages};

use super::{
    bundle::Scope,
    decision::{Push, Verb},
    view::View,
};

/// Packages as they will be.
#[derive(Clone, Copy)]
pub(super) struct Prospect<'a> {
    state: &'a State,
    scope: &'a Scope,
    /// What is pushed by itself, and whether it goes back to an older version.
    alone: Option<(&'a OPackage, bool)>,
}

impl<'a> Prospect<'a> {
    /// After all that is pushed together.
    pub(super) fn of_scope(state: &'a State, scope: &'a Scope) -> Self {
        Self { state, scope, alone: None }
    }

    /// After what `view` knows of is pushed.
    pub(super) fn of_view(view: &View<'a>) -> Self {
        Self::of_scope(view.state, view.scope)
    }

    /// After `push`, and what is pushed with it.
    pub(super) fn of_push(view: &View<'a>, push: &Push<'a, OPackage>) -> Self {
        Self { alone: Some((push.spec, push.verb == Verb::Restore)), ..Self::of_view(view) }
    }

    /// Which version of its package `pushed` will be.
    pub(super) fn node(&self, pushed: &OPackage) -> Node {
        let version = PackageVersion::of(pushed).filter(|_| !self.becomes(pushed));
        Node { name: pushed.name.clone(), version }
    }

    /// The package that `node` is.
    pub(super) fn at(&self, node: &Node) -> Option<Cow<'a, OPackage>> {
        match &node.version {
            None => self.package(&node.name).map(Cow::Borrowed),
            Some(version) => self.version(&node.name, version),
        }
    }

    fn pushed(&self, name: &PackageName) -> Option<&'a OPackage> {
        let alone = self.alone.filter(|(package, _)| package.name == *name);
        alone.map(|(package, _)| package).or_else(|| self.scope.pushed(name))
    }

    fn live(&self, name: &PackageName) -> Option<&'a Stored<OPackage>> {
        let stored = self.state.packages.get(name).map(|entry| &*entry.value);
        stored.filter(|stored| !stored.meta.is_deleting())
    }

    /// Whether its package becomes what is `pushed`.
    fn becomes(&self, pushed: &OPackage) -> bool {
        let goes_back =
            self.alone.is_some_and(|(package, back)| back && package.name == pushed.name);
        let current = self.live(&pushed.name).and_then(|live| PackageVersion::of(&live.spec));
        let version = PackageVersion::of(pushed);
        match (version, current) {
            (Some(version), Some(current)) => goes_back || !current.is_newer_than(&version),
            _ => true,
        }
    }
}

impl<'a> Packages<'a> for Prospect<'a> {
    fn package(&self, name: &PackageName) -> Option<&'a OPackage> {
        let pushed = self.pushed(name).filter(|pushed| self.becomes(pushed));
        pushed.or_else(|| self.state.packages.get(name).map(|entry| &entry.value.spec))
    }

    fn versions(&self, name: &PackageName) -> Vec<PackageVersion> {
        let pushed = self.pushed(name);
        // A new incarnation begins without the versions of the last.
        let begins_anew = pushed.is_some() && self.live(name).is_none();
        let mut versions = if begins_anew { Vec::new() } else { self.state.versions(name) };
        if let Some(version) = pushed.and_then(PackageVersion::of)
            && let Err(at) = versions.binary_search(&version)
        {
            versions.insert(at, version);
        }
        versions
    }

    fn version(&self, name: &PackageName, version: &PackageVersion) -> Option<Cow<'a, OPackage>> {
        let pushed = self.pushed(name);
        match pushed.filter(|pushed| PackageVersion::of(pushed).as_ref() == Some(version)) {
            Some(pushed) => Some(Cow::Borrowed(pushed)),
            None => self.state.version(name, version),
        }
    }
}
