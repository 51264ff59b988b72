//! Whom a client certificate names.
//!
//! In this order, the first that is there:
//! 1. its URI, where it has exactly one: what SPIFFE issues (`spiffe://cluster.local/ns/a/sa/b`);
//! 2. its common name: what Kubernetes and most authorities of one's own issue;
//! 3. its DNS name, where it has exactly one.
//!
//! A certificate with several URIs names nobody, as SPIFFE has it: which of them is meant would be
//! a guess. A common name that reads like a URI is passed over, so that whoever may choose a common
//! name cannot choose an identity of the first kind.
//!
//! It is asked of certificates alone that TLS has verified; nothing is verified here.

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The longest subject, in bytes: what a DNS name, and most of everything else, may have.
const MAX_BYTES: usize = 255;

/// The subject of a certificate in DER; `None`: it names nobody.
#[must_use]
pub fn of(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.map_or(&[][..], |extension| &extension.value.general_names);
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uris: Vec<&str> = uris.collect();
    match uris.as_slice() {
        [] => {}
        [uri] => return plain(uri),
        _ => return None,
    }
    let common = certificate.subject().iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok());
    if let Some(subject) = common.filter(|name| !name.contains("://")).and_then(plain) {
        return Some(subject);
    }
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(*host),
        _ => None,
    });
    match hosts.collect::<Vec<_>>().as_slice() {
        [host] => plain(host),
        _ => None,
    }
}

/// `text`, if it can be logged and compared as it is.
fn plain(text: &str) -> Option<String> {
    let is_plain = (1..=MAX_BYTES).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(char::is_control);
    is_plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
