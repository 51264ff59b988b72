//! Where the certificates of a connection are, ours toward others or of our own server, checked to
//! be readable at start-up. What is in them is not looked at here.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::parse::Parser;

/// Certificates for connections to one server. All absent: the system's roots, no client
/// certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that the server's certificate is checked against.
    pub ca_cert_path: Option<PathBuf>,
    /// What we show of ourselves.
    pub client: Option<ClientCert>,
}

/// PEM files of a client certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    /// The certificate, followed by its chain.
    pub cert_path: PathBuf,
    /// The private key.
    pub key_path: PathBuf,
}

/// The three variables that make a [`Tls`], with their names for the mistakes.
pub(crate) struct Paths<'a> {
    pub(crate) ca_cert: (&'a str, Option<PathBuf>),
    pub(crate) client_cert: (&'a str, Option<PathBuf>),
    pub(crate) client_key: (&'a str, Option<PathBuf>),
}

impl Paths<'_> {
    /// Checks that the files can be read and that a certificate comes with its key.
    pub(crate) fn check(self, parser: &mut Parser) -> Tls {
        for (name, path) in [&self.ca_cert, &self.client_cert, &self.client_key] {
            if let Some(path) = path {
                check_readable(parser, name, path);
            }
        }
        let client = match (self.client_cert, self.client_key) {
            ((_, Some(cert_path)), (_, Some(key_path))) => Some(ClientCert { cert_path, key_path }),
            ((_, None), (_, None)) => None,
            ((cert, Some(_)), (key, None)) => {
                parser.mistake(key, format!("is not set, but {cert} is: they come together"));
                None
            }
            ((cert, None), (key, Some(_))) => {
                parser.mistake(cert, format!("is not set, but {key} is: they come together"));
                None
            }
        };
        Tls { ca_cert_path: self.ca_cert.1, client }
    }
}

impl Tls {
    /// Whether any certificate is named, so that an unencrypted connection cannot be meant.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.ca_cert_path.is_some() || self.client.is_some()
    }
}

/// PEM files of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, followed by its chain.
    pub cert_path: PathBuf,
    /// Its private key.
    pub key_path: PathBuf,
    /// Which certificates clients show; `None`: they are asked for none.
    pub clients: Option<ClientCerts>,
}

/// The certificates of a server's clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCerts {
    /// PEM file of the authorities that they are checked against.
    pub ca_path: PathBuf,
    /// Whether who shows none is refused. One that is shown must be good either way.
    pub is_required: bool,
}

/// The three variables that make a [`ServerTls`], with their names for the mistakes.
pub(crate) struct ServerPaths<'a> {
    pub(crate) cert: (&'a str, Option<PathBuf>),
    pub(crate) key: (&'a str, Option<PathBuf>),
    pub(crate) client_ca: (&'a str, Option<PathBuf>),
}

impl ServerPaths<'_> {
    /// Checks that the files can be read. A certificate and its key come together; client
    /// authorities only with them.
    pub(crate) fn check(self, parser: &mut Parser, is_required: bool) -> Option<ServerTls> {
        let mut given = None;
        for (name, path) in [&self.client_ca, &self.key, &self.cert] {
            if let Some(path) = path {
                check_readable(parser, name, path);
                given = Some(*name);
            }
        }
        for (name, path) in [&self.cert, &self.key] {
            if let Some(given) = given
                && path.is_none()
            {
                parser.mistake(name, format!("is not set, but {given} is: TLS needs both"));
            }
        }
        let clients = self.client_ca.1.map(|ca_path| ClientCerts { ca_path, is_required });
        Some(ServerTls { cert_path: self.cert.1?, key_path: self.key.1?, clients })
    }
}

/// Notes a mistake unless the first byte of the file can be read.
pub(crate) fn check_readable(parser: &mut Parser, variable: &str, path: &Path) {
    // Opening a folder succeeds; reading from it does not.
    let outcome = File::open(path).and_then(|mut file| file.read(&mut [0]));
    match outcome {
        Ok(0) => parser.mistake(variable, format!("{} is empty", path.display())),
        Ok(_) => {}
        Err(err) => {
            parser.mistake(variable, format!("{} cannot be read: {err}", path.display()));
        }
    }
}
