//! Which address a request comes from, with proxies between.
//!
//! Invariant: a header is believed only as far as trusted proxies have written it. What a caller
//! writes into it itself stands to the left of what they write, and is never looked at.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::Request;
use ipnet::IpNet;

use crate::Peer;

/// `X-Forwarded-For`, to which each proxy adds the address that it was called from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request comes from, an extension of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// The address of `request`; `None`: its server tells none.
    pub(crate) fn of(request: &Request, trusted: &[IpNet]) -> Option<Self> {
        let peer = request.extensions().get::<Peer>()?.address.ip().to_canonical();
        if !is_trusted(peer, trusted) {
            return Some(Self(peer));
        }
        let values = request.headers().get_all(FORWARDED_FOR).iter();
        let values: Vec<&str> = values.map(|value| value.to_str().unwrap_or_default()).collect();
        let mut nearest = peer;
        for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            // What cannot be read ends what can be known: it came from whom was seen last.
            let Some(hop) = parse(hop.trim()) else { break };
            nearest = hop;
            if !is_trusted(hop, trusted) {
                break;
            }
        }
        Some(Self(nearest))
    }

    /// What is counted as one caller: of IPv6 a /64, which is the least that anybody is given.
    pub(crate) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        }
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// An address, perhaps with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse::<IpAddr>().ok().or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests;
