//! Names and keys: parsed once at the edge, then the type is the proof.
//!
//! Invariant: every name is one segment of a store key and of a URL path, without escaping: it is
//! never empty, never `.` or `..`, and holds neither `/` nor white space.
//!
//! A name shares its text with its clones, so that an index of names costs a pointer for each.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    str::FromStr,
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest name or key, in bytes (a DNS name's limit, and Kubernetes').
pub const MAX_NAME_BYTES: usize = 253;

/// A string that is not the name it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a {what}: want {want}")]
pub struct InvalidName {
    /// The beginning of what was given.
    given: String,
    what: &'static str,
    want: &'static str,
}

impl InvalidName {
    fn new(given: &str, what: &'static str, want: &'static str) -> Self {
        Self { given: given.chars().take(80).collect(), what, want }
    }
}

/// Whether `name` is `[A-Za-z0-9]` followed by `[A-Za-z0-9._-]`, at most [`MAX_NAME_BYTES`] long.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `name` is an RFC 1123 label: 1 to 63 of `[a-z0-9-]`, alphanumeric at both ends.
fn is_label(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(alphanumeric)
        && name.bytes().next_back().is_some_and(alphanumeric)
        && name.bytes().all(|b| alphanumeric(b) || b == b'-')
}

const NAME: &str = "1 to 253 of [A-Za-z0-9._-], beginning with a letter or digit";
/// [`is_name`] and [`is_label`] as regular expressions, and the longest of each.
const NAME_PATTERN: (&str, usize) = (r"^[A-Za-z0-9][A-Za-z0-9._-]*$", MAX_NAME_BYTES);
pub(crate) const LABEL_PATTERN: (&str, usize) = (r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", 63);
/// The label that sorts first: `-` alone is less than `0`, and cannot be at the beginning.
const LEAST_LABEL: &str = "0";
const LABEL: &str = "1 to 63 of [a-z0-9-], with a letter or digit at both ends";

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $is:ident, $want:ident, $pattern:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                if $is(name) { Ok(Self(name.into())) } else { Err(InvalidName::new(name, $what, $want)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                Self::from(&*name.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let (pattern, max_length) = $pattern;
                json_schema!({
                    "type": "string",
                    "description": concat!("A ", $what, "."),
                    "minLength": 1,
                    "maxLength": max_length,
                    "pattern": pattern,
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// Name of a package, for example `shop`.
    PackageName, "package name", is_name, NAME, NAME_PATTERN
);
name_type!(
    /// Key of a deployment, for example `shop.cart`.
    DeploymentKey, "deployment key", is_name, NAME, NAME_PATTERN
);
name_type!(
    /// Key of a class or a function in its package, for example `Cart` or `cart.add-item`.
    Key, "key", is_name, NAME, NAME_PATTERN
);
name_type!(
    /// Name of a cluster that one CRM manages, for example `prod-east`.
    ///
    /// Invariant: an RFC 1123 label, so it is a key segment, a URL path segment and a metric label
    /// without escaping.
    ClusterName, "cluster name", is_label, LABEL, LABEL_PATTERN
);
name_type!(
    /// Name of a role binding, for example `shop-developers`.
    BindingName, "role binding name", is_name, NAME, NAME_PATTERN
);
name_type!(
    /// Id of one deployment's unit on one cluster, for example `cart-4k9a2mz0qp`.
    ///
    /// Invariant: an RFC 1123 label, so that a CRM can name its resources after it.
    UnitId, "unit id", is_label, LABEL, LABEL_PATTERN
);

name_type!(
    /// Name of a bundle, for example `shop-prod`: of what one pipeline pushes.
    BundleName, "bundle name", is_name, NAME, NAME_PATTERN
);
name_type!(
    /// Id of one push, never used twice.
    PushId, "push id", is_name, NAME, NAME_PATTERN
);

/// The name that sorts first: `0` is the least of the characters that a name begins with.
const LEAST_NAME: &str = "0";

impl PackageName {
    /// The name that sorts before all others; where a range of keys begins.
    #[must_use]
    pub fn least() -> Self {
        Self(LEAST_NAME.into())
    }
}

impl DeploymentKey {
    /// The key that sorts before all others; where a range of keys begins.
    #[must_use]
    pub fn least() -> Self {
        Self(LEAST_NAME.into())
    }
}

impl ClusterName {
    /// The name that sorts before all others; where a range of keys begins.
    #[must_use]
    pub fn least() -> Self {
        Self(LEAST_LABEL.into())
    }
}

impl UnitId {
    /// The id that sorts before all others; where a range of keys begins.
    #[must_use]
    pub fn least() -> Self {
        Self(LEAST_LABEL.into())
    }
}

/// How many base-32 characters of the hash end a [`UnitId`]: 50 bits, so that among a million
/// units two collide with probability 0.0004.
const UNIT_HASH_CHARS: usize = 10;

impl UnitId {
    /// The id of the unit of the deployment incarnation `uid` on `cluster`.
    ///
    /// Deterministic: a restarted or another replica computes the same id, which is what makes
    /// creating a unit idempotent. The class key, made a label, is there for people to read.
    #[must_use]
    pub fn derive(class_key: &str, uid: &str, cluster: &ClusterName) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32.
        let mut hasher = blake3::Hasher::new();
        hasher.update(uid.as_bytes()).update(b"/").update(cluster.as_str().as_bytes());
        let hash = hasher.finalize();
        // Eight hash bits a character, five of them used: simple, and evenly distributed.
        let suffix = hash.as_bytes().iter().take(UNIT_HASH_CHARS);
        let suffix = suffix.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));

        let label: String = class_key
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(63 - 1 - UNIT_HASH_CHARS)
            .collect();
        let label = label.trim_matches('-');
        let label = if label.is_empty() { "unit" } else { label };
        Self(label.chars().chain(['-']).chain(suffix).collect::<String>().into())
    }
}
