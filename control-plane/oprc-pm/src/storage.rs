//! Opens the store that the configuration names: once for everybody, once for the lease.

use std::{fs, io, path::PathBuf, sync::Arc};

use oprc_config::pm::{Etcd, Storage};
use oprc_cp_storage::{
    Error, SharedStore,
    embedded::{self, EmbeddedStore},
    etcd::{EtcdOptions, EtcdStore, Password, Secret},
    group_commit::{GroupCommit, Options},
    health::{Measured, WriteHealth},
    memory::MemoryStore,
};
use tokio::{runtime::Handle, task::JoinError};

/// The file of the embedded store in its folder.
pub(crate) const STORE_FILE: &str = "pm.db";

/// The store, as everybody uses it and as the lease does.
pub(crate) struct Stores {
    /// For everything but the lease. On etcd, transactions that wait together go together.
    pub(crate) main: SharedStore,
    /// For the lease alone: on etcd a connection of its own, so that load cannot starve it.
    pub(crate) lease: SharedStore,
    /// Whether the writes to `main` succeed.
    pub(crate) writes: Arc<WriteHealth>,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the store cannot be made.
    #[error("the folder {} cannot be made", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file cannot be opened.
    #[error(transparent)]
    Embedded(#[from] embedded::OpenError),
    /// A certificate, key or password cannot be read.
    #[error("{what} of etcd cannot be read")]
    Credentials {
        /// What.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// etcd does not let us in, or is not there.
    #[error("cannot connect to etcd")]
    Etcd(#[source] Error),
    /// The thread that opens it failed.
    #[error("opening the store failed")]
    Thread(#[from] JoinError),
}

/// Opens the store; on etcd the lease's connection is made on `lease_runtime`, where it lives.
pub(crate) async fn open(storage: &Storage, lease_runtime: &Handle) -> Result<Stores, OpenError> {
    let writes = Arc::new(WriteHealth::default());
    let (main, lease): (SharedStore, SharedStore) = match storage {
        Storage::Memory => {
            let store = MemoryStore::default();
            (measured(Arc::new(store.clone()), &writes), Arc::new(store))
        }
        Storage::Embedded { data_dir } => {
            embedded::make_folder(data_dir)
                .map_err(|source| OpenError::DataDir { path: data_dir.clone(), source })?;
            let path = data_dir.join(STORE_FILE);
            let opening = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path));
            let store = opening.await??;
            (measured(Arc::new(store.clone()), &writes), Arc::new(store))
        }
        Storage::Etcd(etcd) => {
            let options = etcd_options(etcd)?;
            let store = EtcdStore::connect(options.clone()).await.map_err(OpenError::Etcd)?;
            let lease = lease_runtime.spawn(EtcdStore::connect(options));
            let lease = lease.await?.map_err(OpenError::Etcd)?;
            let main =
                GroupCommit::new(store, Options { timeout: etcd.timeout, ..Options::default() });
            (measured(Arc::new(main), &writes), Arc::new(lease))
        }
    };
    Ok(Stores { main, lease, writes })
}

fn measured(store: SharedStore, writes: &Arc<WriteHealth>) -> SharedStore {
    Arc::new(Measured::new(store, Arc::clone(writes)))
}

fn etcd_options(etcd: &Etcd) -> Result<EtcdOptions, OpenError> {
    let read = |path: &PathBuf| {
        let what = path.display().to_string();
        fs::read_to_string(path).map_err(|source| OpenError::Credentials { what, source })
    };
    let endpoints = etcd.endpoints.iter().map(|endpoint| endpoint.as_str().to_owned()).collect();
    let mut options = EtcdOptions::new(endpoints, etcd.key_prefix.clone());
    options.timeout = etcd.timeout;
    options.max_txn_ops = etcd.max_txn_ops;
    options.ca_cert_pem = etcd.tls.ca_cert_path.as_ref().map(read).transpose()?;
    if let Some(client) = &etcd.tls.client {
        options.client_cert_pem = Some(read(&client.cert_path)?);
        options.client_key_pem = Some(Secret::new(read(&client.key_path)?));
    }
    if let Some(login) = &etcd.login {
        let credential = login.password.clone();
        let read = move || credential.read().map(|password| Secret::new(password.expose()));
        // A file that cannot be read at the start is a mistake of the configuration.
        read()
            .map_err(|source| OpenError::Credentials { what: "the password".to_owned(), source })?;
        options.username = Some(login.username.clone());
        options.password = Some(Password::new(read));
    }
    Ok(options)
}
