//! What the tests stand on: processes, clusters that can be broken, and bounded waiting.

mod cluster;
mod http;
mod leader;
mod process;
mod proxy;
mod wait;
pub(crate) mod world;

pub(crate) use self::{
    cluster::Cluster,
    http::{Answer, Api, check_problem, client},
    leader::{LEADER_KEY, leader},
    process::{Process, run},
    proxy::{Effect, Mode, Proxy},
    wait::{PATIENCE, eventually, eventually_within},
    world::{Backend, QUIET, World, document, free_port, lacks_etcd},
};

/// Makes one test for each durable backend of the function `$name(Backend)`.
macro_rules! on_each_backend {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::support::Backend::Embedded).await; })*
        }
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if $crate::support::lacks_etcd() {
                    return;
                }
                super::$name($crate::support::Backend::Etcd).await;
            })*
        }
    };
}
pub(crate) use on_each_backend;
