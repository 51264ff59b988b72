//! The environment of a production installation, as its specification writes it: endpoints of etcd
//! without a scheme, TLS files, a user, no storage type, and a default cluster under its own name.

use std::{fs, path::PathBuf};

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, Permission, PermissionType, TlsOptions,
};
use oprc_cp_storage::testing::{EtcdConfig, EtcdProcess, ServerTls};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Api, Cluster, Process, eventually, free_port,
    world::{document, package},
};

const CLUSTER: &str = "production-east";

/// An authority, and a certificate of a server and of a client, as PEM files.
struct Pki {
    folder: TempDir,
}

impl Pki {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let cert = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            fs::write(folder.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn server(&self) -> ServerTls {
        ServerTls {
            cert: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: self.path("ca.pem"),
        }
    }

    /// Has `etcd` ask for users, and lets `pm-user` write below the default prefix.
    async fn require_users(&self, etcd: &EtcdProcess) {
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(self.text("ca.pem")))
            .identity(Identity::from_pem(self.text("client.pem"), self.text("client.key")));
        let options = ConnectOptions::new().with_tls(tls);
        let mut root = Client::connect(etcd.endpoints(), Some(options)).await.unwrap();
        root.user_add("root", "r", None).await.unwrap();
        root.role_add("root").await.unwrap();
        root.user_grant_role("root", "root").await.unwrap();
        root.user_add("pm-user", "secure-password", None).await.unwrap();
        root.role_add("pm").await.unwrap();
        let below = Permission::new(PermissionType::Readwrite, "/oaas/pm/").with_prefix();
        root.role_grant_permission("pm", below).await.unwrap();
        root.user_grant_role("pm-user", "pm").await.unwrap();
        root.auth_enable().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_block_of_the_specification_starts() {
    let pki = Pki::new();
    let etcd = EtcdConfig { tls: Some(pki.server()), ..EtcdConfig::default() };
    let etcd = EtcdProcess::start(etcd).await;
    pki.require_users(&etcd).await;
    let crm = Cluster::start_with(CLUSTER, &[("OPRC_CRM_TOKEN", "right")]).await;
    let endpoints: Vec<String> = etcd
        .endpoints()
        .iter()
        .map(|url| url.rsplit_once("//").map_or(url.as_str(), |(_, rest)| rest).to_owned())
        .collect();
    let port = free_port();
    let file = |name: &str| pki.path(name).to_str().unwrap().to_owned();
    let block = [
        ("OPRC_PM_SERVER_HOST", "127.0.0.1".to_owned()),
        ("OPRC_PM_SERVER_PORT", port.to_string()),
        ("OPRC_PM_ETCD_ENDPOINTS", endpoints.join(",")),
        ("OPRC_PM_ETCD_KEY_PREFIX", "/oaas/pm".to_owned()),
        ("OPRC_PM_ETCD_USERNAME", "pm-user".to_owned()),
        ("OPRC_PM_ETCD_PASSWORD", "secure-password".to_owned()),
        ("OPRC_PM_ETCD_CA_CERT_PATH", file("ca.pem")),
        ("OPRC_PM_ETCD_CLIENT_CERT_PATH", file("client.pem")),
        ("OPRC_PM_ETCD_CLIENT_KEY_PATH", file("client.key")),
        ("OPRC_PM_CRM_DEFAULT_CLUSTER", CLUSTER.to_owned()),
        ("OPRC_PM_CRM_PROD_EAST_URL", crm.url()),
        ("OPRC_PM_CRM_PROD_EAST_NAME", CLUSTER.to_owned()),
        ("OPRC_PM_CRM_PROD_EAST_TOKEN", "right".to_owned()),
    ];
    let block = block.map(|(name, value)| (name.to_owned(), value));
    let log = pki.path("pm.log");

    // Without the name of its own, one round says so, and nothing else is wrong.
    let unnamed: Vec<_> =
        block.iter().filter(|(name, _)| !name.ends_with("EAST_NAME")).cloned().collect();
    let mut process = Process::start("oprc-pm", &unnamed, &log);
    assert_eq!(process.ended().await.code(), Some(1));
    let output = process.output();
    assert!(output.contains("1 mistake in the configuration"), "{output}");
    assert!(
        output.contains("configured: prod-east; did you mean prod-east?"),
        "the name and the nearest one: {output}"
    );

    let process = Process::start("oprc-pm", &block, &log);
    let api = Api::new(format!("http://127.0.0.1:{port}"));
    eventually("ready", || api.is_ok("/readyz")).await;
    let answer = api.put("/api/v1/packages/shop", &package("1.0.0")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = api.put("/api/v1/deployments/cart", &document("cart", &[CLUSTER])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    eventually("runs", || async {
        let status: Value = api.get("/api/v1/deployment-status/cart").await.body;
        if status["condition"] == "RUNNING" { Ok(()) } else { Err(status) }
    })
    .await;
    let output = process.output();
    assert!(!output.contains("secure-password"), "a secret is not logged: {output}");
}
