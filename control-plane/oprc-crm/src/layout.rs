//! What the store holds: four families of keys, their values as JSON.
//!
//! | key | value |
//! |---|---|
//! | `records/{id}` | the `DeploymentRecord`, as it is answered |
//! | `units/{id}` | the `DeploymentUnit` that the record is about |
//! | `tombstones/{id}` | the highest generation whose deletion was asked for |
//! | `terms/{owner}` | the highest term seen of an owner |
//!
//! Invariants:
//! - the record and the unit of an id are made in one transaction and removed in one;
//! - a transaction that removes a record begins with a put (of the tombstone): a removal carries no
//!   revision of its own, and [`crate::feed`] takes it from the put before it.

use bytes::Bytes;
use oprc_cp_storage::{KeyValue, Op, Precondition, Revision, SharedStore, Write};
use oprc_models::names::UnitId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Error;

/// The keys of records begin with it.
pub(crate) const RECORDS: &str = "records/";
/// The keys of tombstones begin with it.
pub(crate) const TOMBSTONES: &str = "tombstones/";
/// The keys of terms begin with it.
pub(crate) const TERMS: &str = "terms/";

/// The key of the record of `id`.
pub(crate) fn record_key(id: &UnitId) -> String {
    format!("{RECORDS}{id}")
}

/// The key of the unit of `id`.
pub(crate) fn unit_key(id: &UnitId) -> String {
    format!("units/{id}")
}

/// The key of the tombstone of `id`.
pub(crate) fn tombstone_key(id: &UnitId) -> String {
    format!("{TOMBSTONES}{id}")
}

/// The key of the term of `owner`.
pub(crate) fn term_key(owner: &str) -> String {
    format!("{TERMS}{owner}")
}

/// What outlives a deleted unit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    /// The highest generation whose deletion was asked for.
    pub(crate) generation: u64,
}

/// The highest term seen of an owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Term {
    /// The term.
    pub(crate) term: u64,
}

/// A value with the revisions of its key.
#[derive(Debug)]
pub(crate) struct Stored<T> {
    /// The value.
    pub(crate) value: T,
    /// When the key was last written.
    pub(crate) revision: Revision,
    /// When the key was made.
    pub(crate) created: Revision,
}

/// The value of `key`, if there is one.
pub(crate) async fn get<T: DeserializeOwned>(
    store: &SharedStore,
    key: &str,
) -> Result<Option<Stored<T>>, Error> {
    store.get(key).await?.map(|found| decode(&found)).transpose()
}

fn decode<T: DeserializeOwned>(found: &KeyValue) -> Result<Stored<T>, Error> {
    let value = serde_json::from_slice(&found.value)
        .map_err(|source| Error::Damaged { key: found.key.clone(), source })?;
    Ok(Stored { value, revision: found.mod_revision, created: found.create_revision })
}

/// What must hold of a key that was found like this.
pub(crate) fn as_found<T>(found: Option<&Stored<T>>) -> Precondition {
    found.map_or(Precondition::Absent, |found| Precondition::At(found.revision))
}

/// The write that stores `value`.
pub(crate) fn put<T: Serialize>(
    key: String,
    precondition: Precondition,
    value: &T,
) -> Result<Write, Error> {
    match serde_json::to_vec(value) {
        Ok(json) => Ok(Write { key, precondition, op: Op::Put(Bytes::from(json)) }),
        Err(source) => Err(Error::Damaged { key, source }),
    }
}

/// The write that removes `key`.
pub(crate) fn delete(key: String, precondition: Precondition) -> Write {
    Write { key, precondition, op: Op::Delete }
}
