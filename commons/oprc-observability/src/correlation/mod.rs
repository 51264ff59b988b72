//! Correlation ids: one name for a request in every log line, stored write and call it causes.

use std::fmt;

/// The longest correlation id that is taken from outside, in bytes.
const MAX_BYTES: usize = 128;

/// Names a request across programs: `X-Correlation-Id`.
///
/// Invariant: 1 to 128 of `[A-Za-z0-9._:-]`, so it can be logged, stored and sent as a header as it
/// is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CorrelationId(Box<str>);

impl CorrelationId {
    /// The caller's id, or a random one where the caller gave none, or none that can be passed on.
    #[must_use]
    pub fn from_header(header: Option<&[u8]>) -> Self {
        header.and_then(Self::parse).unwrap_or_else(Self::random)
    }

    /// The id, if it is one.
    #[must_use]
    pub fn parse(id: &[u8]) -> Option<Self> {
        let is_allowed =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
        let is_id = (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(is_allowed);
        let text = str::from_utf8(id).ok()?;
        is_id.then(|| Self(text.into()))
    }

    /// An id that nothing else has.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests;
