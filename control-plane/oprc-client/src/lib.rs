//! A client of the Package Manager's REST interface, for programs: `oprc` is one.
//!
//! Each operation of the interface is a method of [`Client`] that makes a [`Call`]; the call is
//! narrowed down and sent. What comes back is an [`Answer`] of the operation's type, or of any other
//! that reads from it, see [`Call::read_as`].
//!
//! ```no_run
//! # async fn example() -> Result<(), oprc_client::Error> {
//! use oprc_client::{Client, Endpoint};
//!
//! let client = Client::new(&Endpoint::new("http://127.0.0.1:8080"))?;
//! client.replace_package("shop", "{name: shop, classes: [{key: Cart}]}").send().await?;
//! let running = client.list_deployments().query("condition", "RUNNING").all(None).await?;
//! for deployment in running {
//!     println!("{} at generation {}", deployment.spec.key, deployment.meta.generation);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every call has a timeout, every answer a limit, every retry a bound. Redirects are not followed:
//! a token must not travel to a place that the caller did not name.
//!
//! The operations are those of the server's own description (`GET /openapi.json`); a test holds each
//! of them against it.

mod call;
mod client;
mod endpoint;
mod error;
mod events;
mod operations;
mod retry;

pub use crate::{
    call::{Answer, Call},
    client::Client,
    endpoint::{Endpoint, is_loopback, parse_server},
    error::Error,
    events::{Event, Events},
    operations::{OPERATIONS, Operation},
};

#[cfg(test)]
mod tests;
