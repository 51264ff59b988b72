//! Tokens: JSON Web Tokens in compact form (RFC 7519, 7515), and when one is believed.
//!
//! Invariants:
//! - the algorithm is the key's, never the token's: a header that says another is refused;
//! - nothing of the claims is looked at before a signature was found good;
//! - every claim that is read has its one type, or the token is refused;
//! - no object in it has the same member twice: readers differ in which of the two they take.

mod distinct;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    identity::{Identity, Means},
    key::Key,
};

/// The longest token, in bytes. Large ones, of people in a hundred groups, have four thousand.
pub(super) const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The most groups of one caller; more are not looked at.
const MAX_GROUPS: usize = 256;

/// The longest subject or group, in bytes.
const MAX_WORD_BYTES: usize = 253;

/// What a token must say to be believed.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be, or hold, this.
    pub audience: String,
    /// How far our clock and the issuer's may be apart, in seconds.
    pub leeway_secs: u64,
    /// The claim that names the caller.
    pub subject_claim: String,
    /// The claim that lists the caller's groups.
    pub groups_claim: String,
}

/// Why a token is not believed. It is told to its bearer, and holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the token is not a JSON Web Token in compact form")]
    Malformed,
    #[error("the token's header wants what is not known here")]
    Critical,
    #[error("no key that is in use here has signed the token")]
    UnknownKey,
    #[error("the token's signature is not good")]
    Signature,
    #[error("the token's claims cannot be read")]
    Claims,
    #[error("the token has expired, or says not when it will")]
    Expired,
    #[error("the token is not valid yet")]
    TooEarly,
    #[error("the token is from another issuer")]
    Issuer,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token names no subject")]
    Subject,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// Who bears a token, and until when it says so, in seconds since 1970.
pub(super) struct Believed {
    pub(super) identity: Identity,
    pub(super) until: i64,
}

/// Checks `token` with `keys` by `rules`, at `now`, in seconds since 1970.
pub(super) fn check(
    token: &str,
    keys: &[Key],
    rules: &Rules,
    now: i64,
) -> Result<Believed, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
    if claims.contains('.') {
        return Err(Refusal::Malformed);
    }
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed);
    let header: Map<String, Value> =
        distinct::read(&decode(header)?).map_err(|_| Refusal::Malformed)?;
    // Whatever their values: a `null` says that the issuer means something by it.
    if ["crit", "enc", "b64"].iter().any(|member| header.contains_key(*member)) {
        return Err(Refusal::Critical);
    }
    let header: Header = serde_json::from_value(header.into()).map_err(|_| Refusal::Malformed)?;
    let signature = decode(signature)?;
    check_signature(message.as_bytes(), &signature, &header, keys)?;
    let claims = decode(claims)?;
    let claims: Map<String, Value> = distinct::read(&claims).map_err(|_| Refusal::Claims)?;
    check_claims(&claims, rules, now)
}

fn check_signature(
    message: &[u8],
    signature: &[u8],
    header: &Header,
    keys: &[Key],
) -> Result<(), Refusal> {
    // A key without a name may be meant by any name, and a token without one may mean any key.
    let is_meant = |key: &&Key| match (key.id(), &header.kid) {
        (Some(id), Some(kid)) => id == kid,
        _ => true,
    };
    let may_be = |key: &&Key| key.algorithm().as_str() == header.alg && is_meant(key);
    let mut candidates = keys.iter().filter(may_be).peekable();
    if candidates.peek().is_none() {
        return Err(Refusal::UnknownKey);
    }
    if candidates.any(|key| key.has_signed(message, signature)) {
        Ok(())
    } else {
        Err(Refusal::Signature)
    }
}

fn check_claims(claims: &Map<String, Value>, rules: &Rules, now: i64) -> Result<Believed, Refusal> {
    let leeway = i64::try_from(rules.leeway_secs).unwrap_or(0);
    let until = time(claims, "exp")?.ok_or(Refusal::Expired)?.saturating_add(leeway);
    if now >= until {
        return Err(Refusal::Expired);
    }
    // Some tokens say when they were made, and no more: neither is in the future.
    for claim in ["nbf", "iat"] {
        if time(claims, claim)?.is_some_and(|from| now < from.saturating_sub(leeway)) {
            return Err(Refusal::TooEarly);
        }
    }
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(Refusal::Issuer);
    }
    let is_for_us = match claims.get("aud") {
        Some(Value::String(audience)) => *audience == rules.audience,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&rules.audience)),
        _ => false,
    };
    if !is_for_us {
        return Err(Refusal::Audience);
    }
    let subject = claims.get(&rules.subject_claim).and_then(Value::as_str);
    let subject = subject.filter(|subject| is_word(subject)).ok_or(Refusal::Subject)?;
    let groups = groups(claims.get(&rules.groups_claim))?;
    let subject = subject.into();
    let identity = Identity { subject, groups, means: Means::Token, until: None };
    Ok(Believed { identity, until })
}

/// A point in time, in seconds since 1970; `None` where the claim is not there. A number with a
/// fraction is allowed (RFC 7519, 2), and cut.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(Refusal::Claims) };
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    // No exponent: what is before the point would be another time.
    let is_plain = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let secs = whole.parse::<i64>().ok().filter(|_| is_plain).ok_or(Refusal::Claims)?;
    Ok(Some(secs))
}

/// Whether `text` can be a subject or a group: on one line, not empty, not endless. It is logged,
/// stored with what its bearer writes, and compared.
fn is_word(text: &str) -> bool {
    (1..=MAX_WORD_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The groups: a list of texts, or one text. What cannot be a group's name names none.
fn groups(claim: Option<&Value>) -> Result<Arc<[Box<str>]>, Refusal> {
    let texts: Vec<&str> = match claim {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => {
            all.iter().map(Value::as_str).collect::<Option<_>>().ok_or(Refusal::Claims)?
        }
        Some(_) => return Err(Refusal::Claims),
    };
    let words = texts.into_iter().filter(|text| is_word(text)).take(MAX_GROUPS);
    Ok(words.map(Into::into).collect())
}

#[cfg(test)]
mod tests;
