//! Values as JSON. The keys are in [`crate::keys`].

#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{KeyValue, keys::Key};

/// A value that cannot be written or read as the type that belongs in its key.
#[derive(Debug, thiserror::Error)]
#[error("the value of {key} is not what belongs there")]
pub struct CodecError {
    /// The key.
    pub key: String,
    /// What is wrong.
    #[source]
    pub source: serde_json::Error,
}

/// The bytes to store for `value` in `key`.
///
/// # Errors
///
/// When `value` cannot be JSON.
pub fn encode<T: Serialize>(key: &Key, value: &T) -> Result<Bytes, CodecError> {
    let encoded = serde_json::to_vec(value).map(Bytes::from);
    encoded.map_err(|source| CodecError { key: key.to_string(), source })
}

/// The value that `kv` holds.
///
/// # Errors
///
/// When it is not a `T`: a newer version wrote it, or a hand, or it is damaged. Leave it alone.
pub fn decode<T: DeserializeOwned>(kv: &KeyValue) -> Result<T, CodecError> {
    let decoded = serde_json::from_slice(&kv.value);
    decoded.map_err(|source| CodecError { key: kv.key.clone(), source })
}
