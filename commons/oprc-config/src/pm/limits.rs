//! How much one caller may ask for, and how a caller is known behind a proxy.

use std::{net::IpAddr, str::FromStr};

use envconfig::Envconfig;
use ipnet::IpNet;

use crate::{
    parse::settings,
    value::{Invalid, List, Setting, Within},
};

settings! {
    /// How much one caller may ask for. More is answered 429 with `Retry-After`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RateLimits {
        /// Reads a second of one subject, 0: as many as it likes.
        ///
        /// Why 500: a dashboard for each of a hundred people, and no loop without a pause.
        subject_reads_per_sec: Within<0, 1_000_000> = "OPRC_PM_RATE_LIMIT_SUBJECT_READS_PER_SEC" or "500",
        /// Writes a second of one subject, 0: as many as it likes.
        ///
        /// Why 100: a tenth of what one etcd takes, so that ten pipelines push at once.
        subject_writes_per_sec: Within<0, 1_000_000> = "OPRC_PM_RATE_LIMIT_SUBJECT_WRITES_PER_SEC" or "100",
        /// Reads a second of one address (of IPv6: one /64), 0: as many as it likes.
        ///
        /// Why 2000: an office may share one address.
        address_reads_per_sec: Within<0, 1_000_000> = "OPRC_PM_RATE_LIMIT_ADDRESS_READS_PER_SEC" or "2000",
        /// Writes a second of one address (of IPv6: one /64), 0: as many as it likes.
        address_writes_per_sec: Within<0, 1_000_000> = "OPRC_PM_RATE_LIMIT_ADDRESS_WRITES_PER_SEC" or "500",
        /// Seconds of not asking that may be made up for at once: a burst is that many times the
        /// rate.
        ///
        /// Why 10: a push of a thousand documents goes through as fast as it is sent.
        burst_secs: Within<1, 600> = "OPRC_PM_RATE_LIMIT_BURST_SECS" or "10",
    }
}

settings! {
    /// Who stands between callers and the REST API.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Around {
        /// Networks of proxies whose `X-Forwarded-For` is believed; of all others it is ignored.
        trusted_proxies: Option<List<Network>> = "OPRC_PM_SERVER_TRUSTED_PROXIES",
        /// Origins whose pages may call the API from a browser; none when not set.
        cors_allowed_origins: Option<List<Origin>> = "OPRC_PM_CORS_ALLOWED_ORIGINS",
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // An address alone is the network of it alone.
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let network: IpNet = text.parse().or_else(|_| address()).map_err(|_| Invalid)?;
        Ok(Self(network.trunc()))
    }
}

impl Setting for Network {
    fn want() -> String {
        "a network or an address, for example 10.0.0.0/8 or fd00::1".to_owned()
    }
}

/// The origin of a page, as a browser sends it.
///
/// Invariant: `http://` or `https://`, a host and perhaps a port, in lower case, and nothing else:
/// it is compared with what a browser sends, byte by byte. There is no origin for every page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Box<str>);

impl Origin {
    /// The origin as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let endpoint: crate::Endpoint = text.parse()?;
        let is_origin = endpoint.as_str() == text
            && text.bytes().filter(|byte| *byte == b'/').count() == 2
            && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_origin { Ok(Self(text.into())) } else { Err(Invalid) }
    }
}

impl Setting for Origin {
    fn want() -> String {
        "an origin in lower case, for example https://console.example.org".to_owned()
    }
}
