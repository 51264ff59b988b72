//! Keys that tokens are checked with.
//!
//! Invariant: a key has one algorithm, which its material decides and no token can: a public key is
//! never taken for a shared secret, whatever a token says of itself.

use std::fmt;

use ring::{hmac, signature};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use super::spki;

/// The shortest shared secret, in bytes: as long as the digest, as RFC 7518 (3.2) wants it.
pub const MIN_SECRET_BYTES: usize = 32;

/// The algorithm of a key, by its name in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: a shared secret.
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256, 2048 bits and up.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name that a token's header has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Why a key cannot be used. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Guessed too easily.
    #[error("a shared secret of {0} bytes: want at least {MIN_SECRET_BYTES}")]
    ShortSecret(usize),
    /// Not PEM, or without a public key.
    #[error("want a PEM file with a public key (BEGIN PUBLIC KEY)")]
    NotPem,
    /// A kind of key that is not used here.
    #[error("want a public key of RSA (2048 to 8192 bits), of P-256 or of Ed25519")]
    Unsupported,
}

#[derive(Clone)]
enum Material {
    Secret(hmac::Key),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// One key, and the name that tokens may call it by.
#[derive(Clone)]
pub struct Key {
    id: Option<Box<str>>,
    material: Material,
    /// A digest of the material: equal keys have equal ones.
    fingerprint: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A secret is in there.
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Key {
    fn new(id: Option<&str>, material: Material, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(id.unwrap_or_default().as_bytes());
        for part in parts {
            hasher.update(&part.len().to_le_bytes()).update(part);
        }
        Self { id: id.map(Into::into), material, fingerprint: *hasher.finalize().as_bytes() }
    }

    /// A shared secret.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::ShortSecret`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, InvalidKey> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(InvalidKey::ShortSecret(secret.len()));
        }
        let material = Material::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self::new(None, material, &[b"HS256", secret]))
    }

    /// The public key in `pem`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::NotPem`], [`InvalidKey::Unsupported`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidKey> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| InvalidKey::NotPem)?;
        match spki::read(&der).ok_or(InvalidKey::Unsupported)? {
            spki::PublicKey::Rsa { n, e } => Self::rsa(None, n, e),
            spki::PublicKey::P256(point) => Self::p256(None, point.to_vec()),
            spki::PublicKey::Ed25519(point) => Self::ed25519(None, point.to_vec()),
        }
    }

    /// An RSA key of modulus `n` and exponent `e`, big-endian.
    pub(super) fn rsa(id: Option<&str>, n: &[u8], e: &[u8]) -> Result<Self, InvalidKey> {
        let strip = |number: &[u8]| -> Vec<u8> {
            number.iter().copied().skip_while(|byte| *byte == 0).collect()
        };
        let (n, e) = (strip(n), strip(e));
        if !(256..=1024).contains(&n.len()) || e.is_empty() || e.len() > 8 {
            return Err(InvalidKey::Unsupported);
        }
        let digest = [b"RS256".to_vec(), n.clone(), e.clone()];
        let parts = digest.each_ref().map(Vec::as_slice);
        Ok(Self::new(id, Material::Rsa { n, e }, &parts))
    }

    /// A key on P-256: an uncompressed point.
    pub(super) fn p256(id: Option<&str>, point: Vec<u8>) -> Result<Self, InvalidKey> {
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(InvalidKey::Unsupported);
        }
        let digest = point.clone();
        Ok(Self::new(id, Material::P256(point), &[b"ES256", &digest]))
    }

    /// A key of Ed25519.
    pub(super) fn ed25519(id: Option<&str>, point: Vec<u8>) -> Result<Self, InvalidKey> {
        if point.len() != 32 {
            return Err(InvalidKey::Unsupported);
        }
        let digest = point.clone();
        Ok(Self::new(id, Material::Ed25519(point), &[b"EdDSA", &digest]))
    }

    /// The one algorithm that it is used with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Secret(_) => Algorithm::Hs256,
            Material::Rsa { .. } => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// What tokens may call it.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether `other` is the same key under the same name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Whether `signature` is this key's, on `message`.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = |algorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Rsa { n, e } => signature::RsaPublicKeyComponents { n, e }
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            Material::P256(point) => public(&signature::ECDSA_P256_SHA256_FIXED, point),
            Material::Ed25519(point) => public(&signature::ED25519, point),
        }
    }
}
