//! etcd nodes in containers, which the network itself cuts off from each other.
//!
//! They speak to each other on a network of their own, and clients to them on Docker's usual one:
//! a node that is taken off the first is still reached by its clients.

use std::process::{Command, Output, Stdio};

use testcontainers::{ContainerAsync, GenericImage, ImageExt, runners::AsyncRunner};

/// The image that `cargo xtask images` makes of the etcd of the tests.
const IMAGE: &str = "oprc-test/etcd";

/// Docker's usual network.
const USUAL: &str = "bridge";

/// Running nodes.
#[derive(Debug)]
pub(crate) struct Containers {
    nodes: Vec<ContainerAsync<GenericImage>>,
    /// The network between the nodes.
    peers: String,
    /// The addresses that clients use, with scheme.
    pub(crate) endpoints: Vec<String>,
}

impl Containers {
    /// Whether there is a Docker, and the image.
    pub(crate) fn is_available() -> bool {
        let mut inspect = Command::new("docker");
        inspect.args(["image", "inspect", IMAGE]).stdout(Stdio::null()).stderr(Stdio::null());
        inspect.status().is_ok_and(|status| status.success())
    }

    pub(crate) async fn start(n_nodes: usize) -> Self {
        let peers = format!("oprc-test-{:08x}", fastrand::u32(..));
        let names: Vec<String> = (0..n_nodes).map(|node| format!("{peers}-{node}")).collect();
        let member = |name: &String| format!("{name}=http://{name}:2380");
        let cluster = names.iter().map(member).collect::<Vec<_>>().join(",");
        let (mut nodes, mut endpoints) = (Vec::new(), Vec::new());
        for name in &names {
            // Any of them serves once a second one is there, so nothing is waited for here.
            let node = GenericImage::new(IMAGE, "latest")
                .with_container_name(name)
                .with_network(&peers)
                .with_cmd([
                    format!("--name={name}"),
                    "--data-dir=/data/etcd".to_owned(),
                    "--listen-client-urls=http://0.0.0.0:2379".to_owned(),
                    format!("--advertise-client-urls=http://{name}:2379"),
                    "--listen-peer-urls=http://0.0.0.0:2380".to_owned(),
                    format!("--initial-advertise-peer-urls=http://{name}:2380"),
                    format!("--initial-cluster={cluster}"),
                    format!("--initial-cluster-token={peers}"),
                    "--heartbeat-interval=50".to_owned(),
                    "--election-timeout=500".to_owned(),
                ])
                .start()
                .await
                .unwrap();
            nodes.push(node);
            docker(&["network", "connect", USUAL, name]);
            let address = format!("{{{{(index .NetworkSettings.Networks {USUAL:?}).IPAddress}}}}");
            let output = docker(&["inspect", "--format", &address, name]);
            let address = String::from_utf8(output.stdout).unwrap();
            endpoints.push(format!("http://{}:2379", address.trim()));
        }
        Self { nodes, peers, endpoints }
    }

    /// Takes `node` off the network between the nodes.
    pub(crate) fn cut_off(&self, node: usize) {
        docker(&["network", "disconnect", &self.peers, self.nodes[node].id()]);
    }

    /// Puts `node` back.
    pub(crate) fn mend(&self, node: usize) {
        docker(&["network", "connect", &self.peers, self.nodes[node].id()]);
    }
}

fn docker(args: &[&str]) -> Output {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {output:?}");
    output
}
