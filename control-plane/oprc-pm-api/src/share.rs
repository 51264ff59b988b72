//! Bounded resources of which no caller may hold more than a share.
//!
//! Everything that requests hold while they are under way is bounded. A bound alone lets one caller
//! hold all of it and refuse everybody else, so one address may hold half, and one subject a
//! quarter.
//!
//! Invariant: the counters of holders are at most twice as many as the shares that are held.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{Extensions, StatusCode};
use metrics::counter;
use parking_lot::Mutex;

use crate::{
    call::Subject,
    door::{audit::Untold, caller::ClientAddress},
    error::ApiError,
};

const FULL: &str = "oprc_pm_over_limit_requests_total";

/// One address may hold this part of a resource: 1 / 2.
const ADDRESSES: usize = 2;

/// One subject may hold this part of a resource: 1 / 4.
const SUBJECTS: usize = 4;

/// A bounded resource.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Its name in messages, and the label of its metric.
    name: &'static str,
    max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    n: usize,
    by: HashMap<Holder, usize>,
}

/// A caller that holds a part of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A network address.
    Address(IpAddr),
    /// A subject, as authentication found it.
    Subject(Arc<str>),
}

impl Holder {
    /// The callers that the extensions of a request name.
    pub(crate) fn of(extensions: &Extensions) -> Vec<Self> {
        let address = extensions.get::<ClientAddress>().map(|address| address.network());
        let subject = extensions.get::<Subject>().map(|subject| Arc::clone(&subject.0));
        address.map(Self::Address).into_iter().chain(subject.map(Self::Subject)).collect()
    }

    /// The address that the extensions of a request name, for limits that come before
    /// authentication.
    pub(crate) fn address(extensions: &Extensions) -> Vec<Self> {
        let mut holders = Self::of(extensions);
        holders.retain(|holder| matches!(holder, Self::Address(_)));
        holders
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Subject(_) => "subject",
        }
    }
}

/// A refusal: the resource, or the share of one caller, is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    name: &'static str,
    /// `"all"`, or the kind of the holder.
    of: &'static str,
}

impl Full {
    /// The refusal as an error, with `code`. Counted.
    pub(crate) fn into_error(self, code: &'static str) -> ApiError {
        let Self { name, of } = self;
        counter!(FULL, "resource" => name, "of" => of).increment(1);
        let detail = match of {
            "all" => format!("too many {name} are under way"),
            of => format!("too many {name} of one {of} are under way"),
        };
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, detail).with_retry()
    }

    /// The refusal of a request. Counted, and neither logged nor audited.
    pub(crate) fn into_refusal(self) -> Response {
        let mut response = self.into_error("too_many_requests").into_response();
        response.extensions_mut().insert(Untold);
        response
    }
}

impl Resource {
    pub(crate) fn new(name: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self { name, max, held: Mutex::default() })
    }

    /// Takes one, for `holders`.
    pub(crate) fn take(self: &Arc<Self>, holders: Vec<Holder>) -> Result<Share, Full> {
        let mut share = self.share(holders);
        share.grow(1)?;
        Ok(share)
    }

    /// A share of nothing, which can grow.
    pub(crate) fn share(self: &Arc<Self>, holders: Vec<Holder>) -> Share {
        Share { resource: Arc::clone(self), n: 0, is_counted: true, holders }
    }

    /// Counts for `holder` as well what another share of the same request holds.
    pub(crate) fn count(self: &Arc<Self>, holder: Holder) -> Result<Share, Full> {
        let mut share = self.share(vec![holder]);
        share.is_counted = false;
        share.grow(1)?;
        Ok(share)
    }

    /// The most that one `holder` may have: at least one, where there is any.
    fn max_of(&self, holder: &Holder) -> usize {
        match holder {
            Holder::Address(_) => self.max.div_ceil(ADDRESSES),
            Holder::Subject(_) => self.max.div_ceil(SUBJECTS),
        }
    }
}

/// A part of a resource; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    resource: Arc<Resource>,
    n: usize,
    /// `true` if it counts towards the whole, not only for its holders.
    is_counted: bool,
    holders: Vec<Holder>,
}

impl Share {
    /// Takes `n` more.
    pub(crate) fn grow(&mut self, n: usize) -> Result<(), Full> {
        let Resource { name, max, .. } = *self.resource;
        let mut held = self.resource.held.lock();
        if self.is_counted && held.n + n > max {
            return Err(Full { name, of: "all" });
        }
        let over = self.holders.iter().find(|holder| {
            let of_holder = held.by.get(holder).copied().unwrap_or_default();
            of_holder + n > self.resource.max_of(holder)
        });
        if let Some(holder) = over {
            return Err(Full { name, of: holder.kind() });
        }
        for holder in &self.holders {
            *held.by.entry(holder.clone()).or_default() += n;
        }
        held.n += if self.is_counted { n } else { 0 };
        self.n += n;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.n == 0 {
            return;
        }
        let mut held = self.resource.held.lock();
        held.n -= if self.is_counted { self.n } else { 0 };
        for holder in &self.holders {
            if let Some(n) = held.by.get_mut(holder) {
                *n -= self.n;
                if *n == 0 {
                    held.by.remove(holder);
                }
            }
        }
    }
}

/// What a request holds from its admission to the end of its work: an extension of it, and kept by
/// work that goes on after its caller has gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission(Arc<Mutex<Vec<Share>>>);

impl Admission {
    pub(crate) fn add(&self, share: Share) {
        self.0.lock().push(share);
    }

    /// Counts for `subject` what the request was admitted to.
    pub(crate) fn count_subject(&self, subject: &Arc<str>) -> Result<(), Full> {
        let mut shares = self.0.lock();
        let Some(resource) = shares.first().map(|share| Arc::clone(&share.resource)) else {
            return Ok(());
        };
        shares.push(resource.count(Holder::Subject(Arc::clone(subject)))?);
        Ok(())
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        FULL,
        "Requests refused because a bounded resource, or one caller's share of it, was taken"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Holder {
        Holder::Address(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_address_holds_half_and_one_subject_a_quarter() {
        let check = |max: usize, holder: &Holder, want: usize| {
            let resource = Resource::new("things", max);
            let shares: Vec<Share> =
                (0..max).map_while(|_| resource.take(vec![holder.clone()]).ok()).collect();
            assert_eq!(shares.len(), want, "{max} {holder:?}");
            let refusal = resource.take(vec![holder.clone()]).unwrap_err();
            let of = if want == max { "all" } else { holder.kind() };
            assert_eq!(refusal, Full { name: "things", of });
            let others = (0..max - want).map(|_| resource.take(Vec::new()).unwrap());
            assert_eq!(others.collect::<Vec<_>>().len(), max - want);
            drop(shares);
            assert!(resource.take(vec![holder.clone()]).is_ok());
        };
        let subject = Holder::Subject("alice".into());
        for (max, half, quarter) in [(1, 1, 1), (2, 1, 1), (8, 4, 2), (1024, 512, 256)] {
            check(max, &address(1), half);
            check(max, &subject, quarter);
        }
    }

    #[test]
    fn refused_growth_takes_nothing() {
        let resource = Resource::new("bytes", 100);
        let mut share = resource.share(vec![address(1), Holder::Subject("alice".into())]);
        share.grow(25).unwrap();
        assert_eq!(share.grow(1), Err(Full { name: "bytes", of: "subject" }));
        let mut other = resource.share(vec![address(2)]);
        other.grow(50).unwrap();
        assert_eq!(other.grow(1), Err(Full { name: "bytes", of: "address" }));
        assert_eq!(resource.held.lock().n, 75);
        drop((share, other));
        assert_eq!(resource.held.lock().n, 0);
        assert!(resource.held.lock().by.is_empty(), "holders of nothing are forgotten");
    }

    #[test]
    fn an_admission_is_held_until_its_last_copy_is_gone() {
        let resource = Resource::new("writes", 1);
        let admission = Admission::default();
        admission.add(resource.take(vec![address(1)]).unwrap());
        admission.count_subject(&"alice".into()).unwrap();
        let of_work = admission.clone();
        drop(admission);
        assert!(resource.take(vec![address(2)]).is_err());
        drop(of_work);
        assert!(resource.take(vec![address(2)]).is_ok());
    }
}
