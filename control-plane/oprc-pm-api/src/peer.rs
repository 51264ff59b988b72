//! Who is at the other end of a connection, as far as the connection itself says.
//!
//! The server sets it for each request; a request without one (tests, a server that does not tell)
//! comes from nowhere. It proves nothing but what TLS has proved: who calls is for authentication.

use std::{net::SocketAddr, sync::Arc};

/// The other end of a connection, a request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address: the caller's, or that of a proxy before it.
    pub address: SocketAddr,
    /// The subject of the client certificate that TLS has verified; `None`: it showed none.
    pub certificate_subject: Option<Arc<str>>,
}
