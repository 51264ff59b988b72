//! The public key in a `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7): as much of DER as that takes.

/// A public key of a kind that is used here.
pub(super) enum PublicKey<'a> {
    Rsa { n: &'a [u8], e: &'a [u8] },
    P256(&'a [u8]),
    Ed25519(&'a [u8]),
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The key in `der`; `None` where it is not one of a kind that is used here.
pub(super) fn read(der: &[u8]) -> Option<PublicKey<'_>> {
    let info = whole(der, SEQUENCE)?;
    let (algorithm, rest) = element(info, SEQUENCE)?;
    let (kind, parameters) = element(algorithm, OBJECT_ID)?;
    // The first byte counts the bits at the end that are not used.
    let (unused, key) = whole(rest, BIT_STRING)?.split_first()?;
    if *unused != 0 {
        return None;
    }
    if kind == RSA {
        let (n, rest) = element(whole(key, SEQUENCE)?, INTEGER)?;
        Some(PublicKey::Rsa { n, e: whole(rest, INTEGER)? })
    } else if kind == EC && whole(parameters, OBJECT_ID)? == P256 {
        Some(PublicKey::P256(key))
    } else if kind == ED25519 {
        Some(PublicKey::Ed25519(key))
    } else {
        None
    }
}

/// The contents of the one element that `der` is.
fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    element(der, tag).filter(|(_, rest)| rest.is_empty()).map(|(contents, _)| contents)
}

/// The contents of the element that `der` begins with, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    if *found == tag { rest.split_at_checked(length) } else { None }
}
