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
        /// Hosts that are served while `OPRC_PM_AUTH_MODE` is `none`, besides `localhost` and loopback
        /// addresses; requests for any other `Host` are answered 421. `*` allows every host, and so
        /// lets any web page that a caller visits read and write everything.
        allowed_hosts: Option<List<HostName>> = "OPRC_PM_SERVER_ALLOWED_HOSTS",
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

/// A host as a request names it, without its port.
///
/// Invariant: a DNS name in lower case, an IP address (IPv6 in brackets), or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl HostName {
    /// The host as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = inner.unwrap_or(text).parse::<IpAddr>() {
            return match address {
                IpAddr::V4(_) if inner.is_some() => Err(Invalid),
                IpAddr::V4(address) => Ok(Self(address.to_string().into())),
                IpAddr::V6(address) => Ok(Self(format!("[{address}]").into())),
            };
        }
        let is_allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_name = (1..=253).contains(&text.len()) && text.bytes().all(is_allowed);
        match text == "*" || is_name {
            true => Ok(Self(text.to_ascii_lowercase().into())),
            false => Err(Invalid),
        }
    }
}

impl Setting for HostName {
    fn want() -> String {
        "a host without a port, for example oprc-pm.example.org, or `*`".to_owned()
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
