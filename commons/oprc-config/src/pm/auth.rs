//! Who may call the API: nobody has to say who they are, or everybody shows a token.

use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use envconfig::Envconfig;

use crate::{
    Credential, Endpoint, Secret,
    parse::{Parser, settings},
    tls::check_readable,
    value::{Invalid, List, Setting, Within},
};

use super::etcd;

/// The shortest shared secret, in bytes (RFC 7518, 3.2).
const MIN_SECRET_BYTES: usize = 32;

settings! {
    /// Who may call the API.
    pub(super) struct AuthVariables {
        /// How callers show who they are: `jwt` by a bearer token; `none` not at all, and all may
        /// do everything: on a loopback address alone, unless anonymous callers are allowed.
        mode: Mode = "OPRC_PM_AUTH_MODE" or "none",
        /// Whether everybody who reaches the API may do everything although others than this machine
        /// reach it.
        allow_anonymous: bool = "OPRC_PM_AUTH_ALLOW_ANONYMOUS" or "false",
        /// Secret that is shared with the issuer of tokens (HS256); at least 32 bytes.
        jwt_secret: Option<Secret> = "OPRC_PM_AUTH_JWT_SECRET",
        /// File with that secret, in place of the secret itself; read again when it changes.
        jwt_secret_file: Option<PathBuf> = "OPRC_PM_AUTH_JWT_SECRET_FILE",
        /// PEM files of public keys that sign tokens: RSA (RS256), P-256 (ES256) or Ed25519
        /// (EdDSA); read again when they change.
        jwt_public_key_files: Option<List<PathBuf>> = "OPRC_PM_AUTH_JWT_PUBLIC_KEY_FILES",
        /// File with a JSON Web Key Set of such keys; read again when it changes.
        jwks_file: Option<PathBuf> = "OPRC_PM_AUTH_JWKS_FILE",
        /// URL of a JSON Web Key Set, such as an OpenID provider's `jwks_uri`; `https`, or a
        /// loopback address.
        jwks_url: Option<Endpoint> = "OPRC_PM_AUTH_JWKS_URL",
        /// PEM file of the authorities that the certificate of that URL is checked against.
        jwks_ca_cert_path: Option<PathBuf> = "OPRC_PM_AUTH_JWKS_CA_CERT_PATH",
        /// Time between two fetches of that URL, in seconds; a token of a key that is not known
        /// brings the next one forward.
        jwks_refresh_secs: Within<1, 86_400> = "OPRC_PM_AUTH_JWKS_REFRESH_SECS" or "300",
        /// Who issues the tokens: their `iss`. Needed with `jwt`.
        issuer: Option<Word> = "OPRC_PM_AUTH_ISSUER",
        /// Whom the tokens are for: one of their `aud`.
        audience: Word = "OPRC_PM_AUTH_AUDIENCE" or "oprc-pm",
        /// How far the clocks of the issuer and of this machine may be apart, in seconds.
        leeway_secs: Within<0, 300> = "OPRC_PM_AUTH_LEEWAY_SECS" or "30",
        /// Claim of a token that names the caller.
        subject_claim: Word = "OPRC_PM_AUTH_SUBJECT_CLAIM" or "sub",
        /// Claim of a token that lists the caller's groups.
        groups_claim: Word = "OPRC_PM_AUTH_GROUPS_CLAIM" or "groups",
        /// Callers who may do everything, whatever role bindings are stored.
        admins: Option<List<Word>> = "OPRC_PM_AUTH_ADMINS",
        /// Groups whose members may do everything, whatever role bindings are stored.
        admin_groups: Option<List<Word>> = "OPRC_PM_AUTH_ADMIN_GROUPS",
        /// Whether `/metrics` is answered to everybody. It tells sums and the names of clusters.
        metrics_open: bool = "OPRC_PM_AUTH_METRICS_OPEN" or "true",
    }
}

/// How callers show who they are.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub enum Auth {
    /// Not at all.
    Anonymous,
    /// By a bearer token.
    Jwt(Box<Jwt>),
}

/// Which tokens are believed, and who may always do everything.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Jwt {
    /// The secret that is shared with the issuer.
    pub secret: Option<Credential>,
    /// PEM files of public keys.
    pub public_key_files: Vec<PathBuf>,
    /// File with a JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// Where a JSON Web Key Set is fetched.
    pub jwks_url: Option<JwksUrl>,
    /// The issuer.
    pub issuer: String,
    /// The audience.
    pub audience: String,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// The claim that names the caller.
    pub subject_claim: String,
    /// The claim that lists the caller's groups.
    pub groups_claim: String,
    /// Callers who may do everything.
    pub admins: Vec<String>,
    /// Groups whose members may do everything.
    pub admin_groups: Vec<String>,
    /// Whether `/metrics` is answered to everybody.
    pub has_open_metrics: bool,
}

/// Where a JSON Web Key Set is fetched.
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct JwksUrl {
    /// The URL.
    pub url: Endpoint,
    /// PEM file of the authorities that its certificate is checked against.
    pub ca_cert_path: Option<PathBuf>,
    /// Time between two fetches.
    pub refresh: Duration,
}

impl Auth {
    /// Takes the section. `host` is where the API listens.
    pub(super) fn parse(parser: &mut Parser, host: IpAddr) -> Self {
        let variables: AuthVariables = parser.section();
        match variables.mode {
            Mode::None => {
                check_anonymous(parser, &variables, host);
                Self::Anonymous
            }
            Mode::Jwt => Self::Jwt(Box::new(variables.jwt(parser))),
        }
    }
}

fn check_anonymous(parser: &mut Parser, variables: &AuthVariables, host: IpAddr) {
    let are_set = [
        ("OPRC_PM_AUTH_JWT_SECRET", variables.jwt_secret.is_some()),
        ("OPRC_PM_AUTH_JWT_SECRET_FILE", variables.jwt_secret_file.is_some()),
        ("OPRC_PM_AUTH_JWT_PUBLIC_KEY_FILES", variables.jwt_public_key_files.is_some()),
        ("OPRC_PM_AUTH_JWKS_FILE", variables.jwks_file.is_some()),
        ("OPRC_PM_AUTH_JWKS_URL", variables.jwks_url.is_some()),
        ("OPRC_PM_AUTH_ISSUER", variables.issuer.is_some()),
        ("OPRC_PM_AUTH_ADMINS", variables.admins.is_some()),
        ("OPRC_PM_AUTH_ADMIN_GROUPS", variables.admin_groups.is_some()),
    ];
    for (name, _) in are_set.iter().filter(|(_, is_set)| *is_set) {
        // An open door that its owner takes for locked.
        parser.mistake(name, "is set, but OPRC_PM_AUTH_MODE is not jwt: change one of them");
    }
    if !host.to_canonical().is_loopback() && !variables.allow_anonymous {
        let problem = format!(
            "is none, but the API listens on {host}, where others reach it: set \
             OPRC_PM_AUTH_MODE=jwt, or OPRC_PM_AUTH_ALLOW_ANONYMOUS=true if everybody may do \
             everything"
        );
        parser.mistake("OPRC_PM_AUTH_MODE", problem);
    }
}

impl AuthVariables {
    fn jwt(self, parser: &mut Parser) -> Jwt {
        if self.allow_anonymous {
            let problem = "is true, but OPRC_PM_AUTH_MODE is jwt: change one of them";
            parser.mistake("OPRC_PM_AUTH_ALLOW_ANONYMOUS", problem);
        }
        let secret = etcd::credential(
            parser,
            ("OPRC_PM_AUTH_JWT_SECRET", self.jwt_secret),
            ("OPRC_PM_AUTH_JWT_SECRET_FILE", self.jwt_secret_file),
        );
        if let Some(secret) = &secret {
            check_secret(parser, secret);
        }
        let public_key_files = self.jwt_public_key_files.map(|list| list.0).unwrap_or_default();
        let files = public_key_files.iter().map(|path| ("OPRC_PM_AUTH_JWT_PUBLIC_KEY_FILES", path));
        let files = files.chain(self.jwks_file.iter().map(|it| ("OPRC_PM_AUTH_JWKS_FILE", it)));
        let authorities = self.jwks_ca_cert_path.iter();
        let authorities = authorities.map(|path| ("OPRC_PM_AUTH_JWKS_CA_CERT_PATH", path));
        for (name, path) in files.chain(authorities) {
            check_readable(parser, name, path);
        }
        let jwks_url =
            jwks_url(parser, self.jwks_url, self.jwks_ca_cert_path, self.jwks_refresh_secs.secs());
        let is_keyless = secret.is_none()
            && public_key_files.is_empty()
            && self.jwks_file.is_none()
            && jwks_url.is_none();
        let names = [
            "OPRC_PM_AUTH_JWT_SECRET",
            "OPRC_PM_AUTH_JWT_SECRET_FILE",
            "OPRC_PM_AUTH_JWT_PUBLIC_KEY_FILES",
            "OPRC_PM_AUTH_JWKS_FILE",
            "OPRC_PM_AUTH_JWKS_URL",
        ];
        if is_keyless && !names.iter().any(|name| parser.is_wrong(name)) {
            let problem = format!("is jwt, but no key is given: set one of {}", names.join(", "));
            parser.mistake("OPRC_PM_AUTH_MODE", problem);
        }
        if self.issuer.is_none() && !parser.is_wrong("OPRC_PM_AUTH_ISSUER") {
            parser.mistake("OPRC_PM_AUTH_ISSUER", "is not set, but OPRC_PM_AUTH_MODE is jwt");
        }
        let words = |list: Option<List<Word>>| -> Vec<String> {
            list.into_iter().flat_map(|list| list.0).map(|word| word.0).collect()
        };
        Jwt {
            secret,
            public_key_files,
            jwks_file: self.jwks_file,
            jwks_url,
            issuer: self.issuer.map(|word| word.0).unwrap_or_default(),
            audience: self.audience.0,
            leeway: self.leeway_secs.secs(),
            subject_claim: self.subject_claim.0,
            groups_claim: self.groups_claim.0,
            admins: words(self.admins),
            admin_groups: words(self.admin_groups),
            has_open_metrics: self.metrics_open,
        }
    }
}

/// Notes a mistake where the secret can be guessed.
fn check_secret(parser: &mut Parser, secret: &Credential) {
    let name = match secret {
        Credential::Value(_) => "OPRC_PM_AUTH_JWT_SECRET",
        Credential::File(_) => "OPRC_PM_AUTH_JWT_SECRET_FILE",
    };
    if parser.is_wrong(name) {
        return;
    }
    match secret.read() {
        Ok(secret) if secret.expose().len() < MIN_SECRET_BYTES => {
            let problem = format!(
                "holds {} bytes: want at least {MIN_SECRET_BYTES}, for example of `openssl rand \
                 -base64 48`",
                secret.expose().len()
            );
            parser.mistake(name, problem);
        }
        Ok(_) => {}
        Err(error) => parser.mistake(name, format!("cannot be read: {error}")),
    }
}

fn jwks_url(
    parser: &mut Parser,
    url: Option<Endpoint>,
    ca_cert_path: Option<PathBuf>,
    refresh: Duration,
) -> Option<JwksUrl> {
    const URL: &str = "OPRC_PM_AUTH_JWKS_URL";
    let Some(url) = url else {
        if ca_cert_path.is_some() && !parser.is_wrong(URL) {
            parser.mistake("OPRC_PM_AUTH_JWKS_CA_CERT_PATH", format!("is set, but {URL} is not"));
        }
        return None;
    };
    if !url.is_https() && !url.is_loopback() {
        // Whoever is on the way could put keys of their own into the answer.
        parser.mistake(URL, "is http:// to another machine: want https://");
    }
    Some(JwksUrl { url, ca_cert_path, refresh })
}

/// How callers show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    None,
    Jwt,
}

impl FromStr for Mode {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "none" => Ok(Self::None),
            "jwt" => Ok(Self::Jwt),
            _ => Err(Invalid),
        }
    }
}

impl Setting for Mode {
    fn want() -> String {
        "none or jwt".to_owned()
    }
}

/// A claim, a subject, a group: on one line, and not endless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word(String);

impl FromStr for Word {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_word = (1..=253).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_word { Ok(Self(text.to_owned())) } else { Err(Invalid) }
    }
}

impl Setting for Word {
    fn want() -> String {
        "1 to 253 bytes on one line".to_owned()
    }
}

#[cfg(test)]
mod tests;
