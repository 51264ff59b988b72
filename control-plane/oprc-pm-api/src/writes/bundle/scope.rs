//! What is pushed together, as each document of it sees the others; and who may take what from whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use oprc_controller_runtime::cache::Entry;
use oprc_cp_storage::Revision;
use oprc_models::{
    meta::{Meta, Stored, Timestamp},
    names::{BundleName, DeploymentKey, PackageName},
    package::OPackage,
    problem::Violation,
};

use super::super::{Error, draft::Draft};

/// What is pushed together.
pub(in crate::writes) struct Scope {
    packages: BTreeMap<PackageName, Entry<Stored<OPackage>>>,
    /// Those by themselves and those inside packages.
    deployments: BTreeSet<DeploymentKey>,
    bundle: Option<BundleName>,
    /// Whether what belongs to someone else is taken from them.
    force: bool,
}

impl Scope {
    /// The scope of a document that is pushed alone.
    pub(in crate::writes) const fn alone() -> &'static Self {
        const {
            &Self {
                packages: BTreeMap::new(),
                deployments: BTreeSet::new(),
                bundle: None,
                force: false,
            }
        }
    }

    pub(super) fn new(bundle: Option<BundleName>, force: bool) -> Self {
        Self { packages: BTreeMap::new(), deployments: BTreeSet::new(), bundle, force }
    }

    pub(super) fn add_package(&mut self, package: &OPackage) {
        self.deployments.extend(package.deployments.iter().map(|inline| inline.key.clone()));
        self.packages.insert(package.name.clone(), unstored(package.clone()));
    }

    pub(super) fn add_deployment(&mut self, key: &DeploymentKey) {
        self.deployments.insert(key.clone());
    }

    /// The package as it is pushed; it has no revision, and no decision rests on its meta.
    pub(in crate::writes) fn package(&self, name: &PackageName) -> Option<Entry<Stored<OPackage>>> {
        self.packages.get(name).cloned()
    }

    /// The package as it is pushed.
    pub(in crate::writes) fn pushed(&self, name: &PackageName) -> Option<&OPackage> {
        self.packages.get(name).map(|entry| &entry.value.spec)
    }

    pub(super) fn packages(&self) -> impl Iterator<Item = (&PackageName, &OPackage)> {
        self.packages.iter().map(|(name, entry)| (name, &entry.value.spec))
    }

    pub(in crate::writes) fn has_package(&self, name: &PackageName) -> bool {
        self.packages.contains_key(name)
    }

    pub(in crate::writes) fn has_deployment(&self, key: &DeploymentKey) -> bool {
        self.deployments.contains(key)
    }

    pub(in crate::writes) fn is_bundle(&self) -> bool {
        self.bundle.is_some()
    }

    /// Whether a document with this `meta` is not the bundle's yet, and is to be.
    pub(in crate::writes) fn claims(&self, meta: &Meta) -> bool {
        self.bundle.is_some() && meta.bundle != self.bundle
    }

    /// `draft`, as the bundle's own.
    pub(in crate::writes) fn claimed<'p>(&self, mut draft: Draft<'p>) -> Draft<'p> {
        if let Some(bundle) = &self.bundle {
            draft.meta.bundle = Some(bundle.clone());
        }
        draft
    }

    /// Whether a deployment may become a package's own that is not that now: it is of this push's
    /// bundle, or of a package that is pushed with it and no longer declares it.
    pub(in crate::writes) fn may_move(&self, meta: &Meta) -> bool {
        self.force
            || (self.bundle.is_some() && meta.bundle == self.bundle)
            || meta.owner.as_ref().is_some_and(|owner| self.has_package(owner))
    }

    pub(in crate::writes) fn permit_package(
        &self,
        name: &PackageName,
        stored: Option<&Meta>,
    ) -> Result<(), Error> {
        self.permit("/name", &format!("the package {name}"), stored)
    }

    pub(in crate::writes) fn permit_deployment(
        &self,
        key: &DeploymentKey,
        stored: Option<&Meta>,
    ) -> Result<(), Error> {
        let owner = stored.filter(|meta| !meta.is_deleting()).and_then(|meta| meta.owner.as_ref());
        match owner {
            Some(owner) if self.is_bundle() && !self.force && !self.has_package(owner) => {
                Err(owned("/key", format!("the deployment {key} belongs to the package {owner}")))
            }
            Some(_) | None => self.permit("/key", &format!("the deployment {key}"), stored),
        }
    }

    /// The owner of a new deployment that a package declares as its own: none, where it is taken.
    pub(in crate::writes) fn permit_declared(
        &self,
        key: &DeploymentKey,
        owner: Option<PackageName>,
    ) -> Result<Option<PackageName>, Error> {
        match owner {
            Some(owner) if self.is_bundle() && !self.force => {
                Err(owned("/key", format!("the deployment {key} belongs to the package {owner}")))
            }
            Some(_) if self.is_bundle() => Ok(None),
            owner => Ok(owner),
        }
    }

    fn permit(&self, at: &str, what: &str, stored: Option<&Meta>) -> Result<(), Error> {
        let stored = stored.filter(|meta| !meta.is_deleting() && !self.force);
        match (&self.bundle, stored.and_then(|meta| meta.bundle.as_ref())) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Err(owned(at, format!("{what} belongs to the bundle {theirs}")))
            }
            _ => Ok(()),
        }
    }
}

fn owned(at: &str, message: String) -> Error {
    Error::Owned { violations: vec![Violation::new(at, message)] }
}

fn unstored(spec: OPackage) -> Entry<Stored<OPackage>> {
    let meta = Meta::new(String::new(), 0, Timestamp::UNIX_EPOCH);
    Entry { value: Arc::new(Stored { meta, spec }), revision: Revision::default() }
}
