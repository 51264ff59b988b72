//! JSON Web Key Sets (RFC 7517): the public keys in them that can be used.
//!
//! What cannot be used is passed over, since a provider may have keys for others too. A shared
//! secret is never taken from a set: a set is public.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::key::{Algorithm, InvalidKey, Key};

/// The largest set, in bytes.
pub const MAX_SET_BYTES: usize = 256 << 10;

/// The most keys of a set. Providers have two or three.
const MAX_KEYS: usize = 64;

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSet {
    /// Too large to be one.
    #[error("{0} bytes: want at most {MAX_SET_BYTES}")]
    TooLarge(usize),
    /// Not a set.
    #[error("not a JSON Web Key Set")]
    NotASet(#[source] serde_json::Error),
    /// Nothing in it can be used.
    #[error("no key for signatures of RSA (2048 to 8192 bits), of P-256 or of Ed25519")]
    NoKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of the set in `text`.
///
/// # Errors
///
/// See [`InvalidSet`].
pub fn read(text: &[u8]) -> Result<Vec<Key>, InvalidSet> {
    if text.len() > MAX_SET_BYTES {
        return Err(InvalidSet::TooLarge(text.len()));
    }
    let set: Set = serde_json::from_slice(text).map_err(InvalidSet::NotASet)?;
    let jwks = set.keys.into_iter().take(MAX_KEYS);
    let keys = jwks.filter_map(|value| key(&serde_json::from_value(value).ok()?));
    let keys: Vec<Key> = keys.collect();
    if keys.is_empty() { Err(InvalidSet::NoKey) } else { Ok(keys) }
}

/// The key, where it is one for signatures of a kind that is used here.
fn key(jwk: &Jwk) -> Option<Key> {
    let is_for_signatures = jwk.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !is_for_signatures {
        return None;
    }
    let id = jwk.kid.as_deref();
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::rsa(id, &bytes(&jwk.n)?, &bytes(&jwk.e)?),
        ("EC", Some("P-256")) => Key::p256(id, [vec![4], bytes(&jwk.x)?, bytes(&jwk.y)?].concat()),
        ("OKP", Some("Ed25519")) => Key::ed25519(id, bytes(&jwk.x)?),
        _ => Err(InvalidKey::Unsupported),
    };
    let key = key.ok()?;
    let said = jwk.alg.as_deref();
    let is_ours = |algorithm: Algorithm| said.is_none_or(|said| said == algorithm.as_str());
    is_ours(key.algorithm()).then_some(key)
}
