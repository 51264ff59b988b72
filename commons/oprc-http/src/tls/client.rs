//! The certificate that a client has shown, for as long as its connection is open.
//!
//! TLS verifies it once, at the handshake, and not at all when a session is resumed. A connection
//! outlives that: [`ClientCertificate::holds`] tells whether the certificate would be accepted now,
//! by the time of day and by the authorities that are trusted now.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Tls, subject};

/// A client's certificate with its chain.
pub(crate) struct ClientCertificate {
    /// The caller that it names, see [`subject`].
    pub(crate) subject: Option<Arc<str>>,
    tls: Arc<Tls>,
    chain: Vec<CertificateDer<'static>>,
    /// When each certificate of the chain ends, in seconds since 1970, in order.
    ends: Vec<u64>,
    judged: Mutex<Option<Judged>>,
}

/// The last time that the certificate was found good.
struct Judged {
    /// By these authorities: [`Tls`]'s generation.
    generation: u64,
    at: u64,
    /// A certificate of the chain ends here, so it has to be verified again.
    until: u64,
}

impl ClientCertificate {
    /// The certificate that `chain` begins with; `None`: there is none.
    pub(crate) fn new(tls: &Arc<Tls>, chain: &[CertificateDer<'_>]) -> Option<Self> {
        let first = chain.first()?;
        let mut ends: Vec<u64> = chain.iter().filter_map(end).collect();
        ends.sort_unstable();
        Some(Self {
            subject: subject::of(first).map(Arc::from),
            tls: Arc::clone(tls),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            ends,
            judged: Mutex::new(None),
        })
    }

    /// Returns `true` if a handshake with this certificate would succeed now.
    pub(crate) fn holds(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let secs = now.as_secs();
        let generation = self.tls.generation.load(Ordering::Acquire);
        let mut judged = self.judged.lock();
        if let Some(last) = &*judged
            && last.generation == generation
            && (last.at..last.until).contains(&secs)
        {
            return true;
        }
        let holds = self.verify(now);
        let next = self.ends.iter().copied().find(|end| *end > secs);
        // Without an end ahead nothing is remembered.
        *judged = next.filter(|_| holds).map(|until| Judged { generation, at: secs, until });
        holds
    }

    fn verify(&self, now: Duration) -> bool {
        let verifier = self.tls.current.read().verifier.clone();
        let (Some(verifier), Some((first, rest))) = (verifier, self.chain.split_first()) else {
            return false;
        };
        verifier.verify_client_cert(first, rest, UnixTime::since_unix_epoch(now)).is_ok()
    }
}

/// The first second at which a certificate is not valid any more.
fn end(der: &CertificateDer<'_>) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp().saturating_add(1)).ok()
}
