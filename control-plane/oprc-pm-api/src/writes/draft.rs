//! Documents as they are to be stored: encoded once, for the store and for the answer.

use std::sync::Arc;

use bytes::Bytes;
use oprc_cp_storage::{
    MAX_TXN_BYTES, Op, Precondition, Revision, Txn, Write, keys::Key, limits::txn_bytes,
};
use oprc_models::{
    cluster::ClusterSpec,
    deployment::OClassDeployment,
    meta::{Meta, Stored},
    package::OPackage,
    role::RoleBinding,
};

use super::{Error, archive::Former};
use crate::splice::Object;

/// A spec: as it was pushed, or as it is stored already.
pub(super) enum Spec<'p> {
    Package(&'p OPackage),
    Deployment(&'p OClassDeployment),
    StoredPackage(Arc<Stored<OPackage>>),
    StoredDeployment(Arc<Stored<OClassDeployment>>),
    StoredCluster(Arc<Stored<ClusterSpec>>),
    RoleBinding(&'p RoleBinding),
    StoredRoleBinding(Arc<Stored<RoleBinding>>),
    /// A stored deployment with one cluster more to keep out of.
    Excluding(Box<OClassDeployment>),
}

impl Spec<'_> {
    fn encode_into(&self, buffer: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match self {
            Self::Package(spec) => serde_json::to_writer(buffer, spec),
            Self::Deployment(spec) => serde_json::to_writer(buffer, spec),
            Self::StoredPackage(stored) => serde_json::to_writer(buffer, &stored.spec),
            Self::StoredDeployment(stored) => serde_json::to_writer(buffer, &stored.spec),
            Self::StoredCluster(stored) => serde_json::to_writer(buffer, &stored.spec),
            Self::RoleBinding(spec) => serde_json::to_writer(buffer, spec),
            Self::StoredRoleBinding(stored) => serde_json::to_writer(buffer, &stored.spec),
            Self::Excluding(spec) => serde_json::to_writer(buffer, spec),
        }
    }

    pub(super) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let mut buffer = Vec::with_capacity(1024);
        self.encode_into(&mut buffer)?;
        Ok(buffer.into())
    }
}

/// A document as it is to become.
pub(super) struct Draft<'p> {
    pub(super) key: Key,
    pub(super) precondition: Precondition,
    pub(super) meta: Meta,
    pub(super) spec: Spec<'p>,
    /// What it takes the place of, where that is another generation.
    pub(super) former: Option<Former>,
}

/// A document as it is stored: the text of a [`Stored`], and where its spec is in it.
pub(super) struct Encoded {
    pub(super) value: Bytes,
    spec_start: usize,
}

impl Encoded {
    /// The text of the spec: a part of the stored value, shared.
    pub(super) fn spec(&self) -> Bytes {
        self.value.slice(self.spec_start..self.value.len().saturating_sub(1))
    }
}

impl Draft<'_> {
    pub(super) fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let mut buffer = Vec::with_capacity(1024);
        let mut spec_start = 0;
        let mut stored = Object::new(&mut buffer);
        stored.field("meta", &self.meta)?;
        stored.field_with("spec", |buffer| {
            spec_start = buffer.len();
            self.spec.encode_into(buffer)
        })?;
        stored.end();
        Ok(Encoded { value: buffer.into(), spec_start })
    }

    pub(super) fn write(&self, value: Bytes) -> Write {
        Write { key: self.key.to_string(), precondition: self.precondition, op: Op::Put(value) }
    }
}

/// Removes `key`, last written at `revision`.
pub(super) fn removal(key: &Key, revision: Revision) -> Write {
    Write { key: key.to_string(), precondition: Precondition::At(revision), op: Op::Delete }
}

/// Refuses what one transaction of at most `max_ops` does not hold, before the store does.
pub(super) fn fits(txn: &Txn, max_ops: usize) -> Result<(), Error> {
    let n_ops = txn.writes.len() + txn.checks.len();
    if n_ops > max_ops {
        return Err(Error::TooLarge { given: n_ops, max: max_ops, unit: "documents" });
    }
    let n_bytes = txn_bytes(txn);
    if n_bytes > MAX_TXN_BYTES {
        return Err(Error::TooLarge { given: n_bytes, max: MAX_TXN_BYTES, unit: "bytes" });
    }
    Ok(())
}
