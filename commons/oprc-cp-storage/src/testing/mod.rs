//! What tests of this and other crates stand on. Not part of the product.

pub mod conformance;
mod etcd_process;

pub use self::etcd_process::{EtcdConfig, EtcdProcess, PeerProxy, ServerTls};
