//! How connections to the REST API are encrypted.

use std::{path::PathBuf, str::FromStr};

use envconfig::Envconfig;

use crate::{
    parse::{Parser, settings},
    tls::{ServerPaths, ServerTls},
    value::{Invalid, Setting},
};

const CLIENT_AUTH: &str = "OPRC_PM_SERVER_TLS_CLIENT_AUTH";

settings! {
    /// How connections to the REST API are encrypted.
    pub(super) struct TlsVariables {
        /// PEM file of the server's certificate and its chain; with it, only TLS is spoken. Read
        /// again when it changes.
        cert_path: Option<PathBuf> = "OPRC_PM_SERVER_TLS_CERT_PATH",
        /// PEM file of the certificate's private key.
        key_path: Option<PathBuf> = "OPRC_PM_SERVER_TLS_KEY_PATH",
        /// PEM file of the authorities of client certificates. A caller's certificate names its
        /// subject: its one URI (SPIFFE), else its common name, else its one DNS name.
        client_ca_path: Option<PathBuf> = "OPRC_PM_SERVER_TLS_CLIENT_CA_PATH",
        /// Whether callers must show a certificate (`required`) or may (`optional`), where
        /// authorities are set. The kubelet's probes can show none.
        client_auth: Option<ClientAuth> = "OPRC_PM_SERVER_TLS_CLIENT_AUTH",
    }
}

/// Takes the section; `None`: not encrypted.
pub(super) fn parse(parser: &mut Parser) -> Option<ServerTls> {
    let variables: TlsVariables = parser.section();
    if variables.client_auth.is_some() && variables.client_ca_path.is_none() {
        parser.mistake(CLIENT_AUTH, "is set, but OPRC_PM_SERVER_TLS_CLIENT_CA_PATH is not");
    }
    // Who names authorities and nothing else means that they are asked.
    let is_required = variables.client_auth != Some(ClientAuth::Optional);
    ServerPaths {
        cert: ("OPRC_PM_SERVER_TLS_CERT_PATH", variables.cert_path),
        key: ("OPRC_PM_SERVER_TLS_KEY_PATH", variables.key_path),
        client_ca: ("OPRC_PM_SERVER_TLS_CLIENT_CA_PATH", variables.client_ca_path),
    }
    .check(parser, is_required)
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    Required,
    Optional,
}

impl FromStr for ClientAuth {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "required" => Ok(Self::Required),
            "optional" => Ok(Self::Optional),
            _ => Err(Invalid),
        }
    }
}

impl Setting for ClientAuth {
    fn want() -> String {
        "required or optional; required when not set".to_owned()
    }
}
