//! Units as the state keeps them: as text, which is read when someone looks.

use bytes::Bytes;
use oprc_models::{names::UnitId, unit::StoredUnit};

/// A unit as it is stored, and its id. There are as many as deployments times clusters, each of them
/// is looked at rarely and one at a time, and as text it is a third of what it is unpacked.
#[derive(Debug)]
pub struct PackedUnit {
    /// The unit's id.
    pub id: UnitId,
    stored: Bytes,
}

impl PackedUnit {
    pub(super) fn new(stored: Bytes) -> Result<Self, serde_json::Error> {
        let unit: StoredUnit = serde_json::from_slice(&stored)?;
        Ok(Self { id: unit.unit.id, stored })
    }

    /// The unit.
    #[must_use]
    pub fn unpack(&self) -> StoredUnit {
        serde_json::from_slice(&self.stored).expect("it was read from the same text before")
    }
}
