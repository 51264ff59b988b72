//! Keys, tokens and guards for tests: tokens are made by hand, so that forged ones can be too.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{Guard, Key, KeyRing, Rules};

pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(crate) const ISSUER: &str = "https://id.example.org";
/// What the clock of the tests says, more or less, in seconds since 1970.
pub(crate) const NOW: i64 = 1_700_000_000;

/// `header.claims`, encoded.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// `message` and its signature.
pub(crate) fn signed(message: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub(crate) fn hmac_of(secret: &[u8]) -> impl FnOnce(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

/// Claims that are believed.
pub(crate) fn claims(subject: &str, groups: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": "oprc-pm", "sub": subject, "groups": groups,
        "exp": NOW + 1_000_000, "nbf": NOW - 60,
    })
}

/// A good token of the shared secret.
pub(crate) fn token(subject: &str, groups: &[&str]) -> String {
    signed(
        &message(&json!({"alg": "HS256", "typ": "JWT"}), &claims(subject, groups)),
        hmac_of(SECRET),
    )
}

pub(crate) fn rules() -> Rules {
    Rules {
        issuer: ISSUER.to_owned(),
        audience: "oprc-pm".to_owned(),
        leeway_secs: 30,
        subject_claim: "sub".to_owned(),
        groups_claim: "groups".to_owned(),
    }
}

/// A guard that believes tokens of the shared secret; `root` and the group `wheel` may do everything.
pub(crate) fn guard() -> Guard {
    let ring = KeyRing::of(vec![Key::from_secret(SECRET).unwrap()]);
    Guard::new(ring, rules()).with_admins(["root".to_owned()], ["wheel".to_owned()])
}

/// A key pair on P-256, and its public point.
pub(crate) fn p256() -> (EcdsaKeyPair, Vec<u8>) {
    let (random, algorithm) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    (pair, point)
}

pub(crate) fn ed25519() -> (Ed25519KeyPair, Vec<u8>) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    (pair, point)
}
