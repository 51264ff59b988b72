//! The stores that the Package Manager is measured on.

use std::sync::Arc;

use oprc_cp_storage::{
    SharedStore,
    embedded::EmbeddedStore,
    etcd::{EtcdOptions, EtcdStore},
    testing::{EtcdConfig, EtcdProcess},
};
use tempfile::TempDir;

use crate::process::Variables;

/// What kind of store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The embedded one, on disk.
    Embedded,
    /// etcd, its data on disk.
    Etcd,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Embedded, Self::Etcd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Etcd => "etcd",
        }
    }
}

/// A place to keep documents: a folder, or an etcd. Gone when dropped.
pub(crate) struct Place {
    kind: Kind,
    folder: TempDir,
    etcd: Option<EtcdProcess>,
}

impl Place {
    /// `None` where the kind is etcd and there is none to start.
    pub(crate) async fn new(kind: Kind) -> Option<Self> {
        let etcd = match kind {
            Kind::Embedded => None,
            Kind::Etcd => {
                let config = EtcdConfig { on_disk: true, ..EtcdConfig::default() };
                Some(EtcdProcess::start_if_available(config).await?)
            }
        };
        Some(Self { kind, folder: TempDir::with_prefix("oprc-bench-").unwrap(), etcd })
    }

    /// The addresses of etcd.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.etcd.as_ref().unwrap().endpoints()
    }

    /// What a Package Manager on this store, with `crms` by cluster, is configured with.
    pub(crate) fn variables(&self, crms: &[(&str, String)]) -> Variables {
        let mut variables = vec![
            ("OPRC_PM_STORAGE_TYPE".to_owned(), self.kind.name().to_owned()),
            ("OPRC_PM_DATA_DIR".to_owned(), self.folder.path().display().to_string()),
        ];
        // One address, and one subject, asks for everything here.
        for whose in ["ADDRESS_READS", "ADDRESS_WRITES", "SUBJECT_READS", "SUBJECT_WRITES"] {
            let name = format!("OPRC_PM_RATE_LIMIT_{whose}_PER_SEC");
            variables.push((name, "0".to_owned()));
        }
        if let Some(etcd) = &self.etcd {
            variables.push(("OPRC_PM_ETCD_ENDPOINTS".to_owned(), etcd.endpoints().join(",")));
        }
        for (cluster, url) in crms {
            let id = cluster.to_uppercase().replace('-', "_");
            variables.push((format!("OPRC_PM_CRM_{id}_URL"), url.clone()));
        }
        variables
    }

    /// A store of the same kind beside the Package Manager's, on the same disk.
    pub(crate) async fn beside(&self) -> SharedStore {
        match self.kind {
            Kind::Embedded => {
                Arc::new(EmbeddedStore::open(self.folder.path().join("beside.db")).unwrap())
            }
            Kind::Etcd => self.etcd_store("/beside").await,
        }
    }

    /// Our client of etcd, under `prefix`.
    pub(crate) async fn etcd_store(&self, prefix: &str) -> SharedStore {
        let options = EtcdOptions::new(self.endpoints(), prefix.to_owned());
        Arc::new(EtcdStore::connect(options).await.unwrap())
    }
}
