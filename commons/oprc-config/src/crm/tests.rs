use std::collections::BTreeMap;

use super::*;

/// The one place that parses. `want` is the variables found wrong, in order.
#[track_caller]
fn check(variables: &[(&str, &str)], want: &[&str]) -> Option<Config> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    match Config::parse(variables) {
        Ok(config) => {
            assert!(want.is_empty(), "nothing was found wrong");
            Some(config)
        }
        Err(mistakes) => {
            let found: Vec<_> = mistakes.iter().map(|mistake| mistake.variable.as_str()).collect();
            assert_eq!(found, want, "{mistakes}");
            None
        }
    }
}

const NAME: (&str, &str) = ("OPRC_CRM_CLUSTER_NAME", "east");

#[test]
fn only_the_name_must_be_set() {
    check(&[], &["OPRC_CRM_CLUSTER_NAME"]);
    let config = check(&[NAME], &[]).unwrap();
    assert_eq!(config.cluster_name.as_str(), "east");
    assert_eq!((config.host.to_string().as_str(), config.port), ("127.0.0.1", 9090));
    assert_eq!(config.storage, Storage::Embedded { data_dir: "./oprc-crm-data".into() });
    assert!(config.token.is_none() && config.tls.is_none());
}

#[test]
fn each_value_is_checked() {
    check(&[("OPRC_CRM_CLUSTER_NAME", "East!")], &["OPRC_CRM_CLUSTER_NAME"]);
    check(&[NAME, ("OPRC_CRM_PORT", "70000")], &["OPRC_CRM_PORT"]);
    check(&[NAME, ("OPRC_CRM_STORAGE_TYPE", "etcd")], &["OPRC_CRM_STORAGE_TYPE"]);
    check(
        &[NAME, ("OPRC_CRM_SIMULATED_AVAILABILITY", "NaN")],
        &["OPRC_CRM_SIMULATED_AVAILABILITY"],
    );
    check(&[NAME, ("OPRC_CRM_SIMULATED_FAIL_CLASSES", "Cart, Order")], &[]);
    check(&[NAME, ("OPRC_CRM_PROT", "1")], &["OPRC_CRM_PROT"]);
    check(&[NAME, ("OTHER", "1")], &[]);
}

#[test]
fn every_mistake_is_listed_at_once() {
    check(
        &[("OPRC_CRM_PORT", "x"), ("OPRC_CRM_TOKEN", ""), ("OPRC_CRM_WHAT", "1")],
        &["OPRC_CRM_CLUSTER_NAME", "OPRC_CRM_PORT", "OPRC_CRM_TOKEN", "OPRC_CRM_WHAT"],
    );
}

#[test]
fn a_token_is_given_in_one_way() {
    let secret = ("OPRC_CRM_TOKEN", "s3cret");
    let config = check(&[NAME, secret], &[]).unwrap();
    assert!(matches!(config.token, Some(Credential::Value(secret)) if secret.expose() == "s3cret"));
    check(&[NAME, ("OPRC_CRM_TOKEN_FILE", "/does/not/exist")], &["OPRC_CRM_TOKEN_FILE"]);
    check(&[NAME, secret, ("OPRC_CRM_TOKEN_FILE", "/x")], &["OPRC_CRM_TOKEN_FILE"]);
}

#[test]
fn a_certificate_comes_with_its_key() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let (cert, key) = (("OPRC_CRM_TLS_CERT_PATH", file), ("OPRC_CRM_TLS_KEY_PATH", file));
    let client_ca = ("OPRC_CRM_TLS_CLIENT_CA_PATH", file);
    check(&[NAME, cert], &["OPRC_CRM_TLS_KEY_PATH"]);
    check(&[NAME, client_ca], &["OPRC_CRM_TLS_CERT_PATH", "OPRC_CRM_TLS_KEY_PATH"]);
    check(&[NAME, cert, key, client_ca], &[]);
    check(&[NAME, cert, ("OPRC_CRM_TLS_KEY_PATH", "/does/not/exist")], &["OPRC_CRM_TLS_KEY_PATH"]);
}

#[test]
fn address_that_others_reach_needs_credentials_or_a_word() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let tls = [("OPRC_CRM_TLS_CERT_PATH", file), ("OPRC_CRM_TLS_KEY_PATH", file)];
    for host in ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"] {
        let host = ("OPRC_CRM_HOST", host);
        check(&[NAME, host], &["OPRC_CRM_TOKEN"]);
        check(&[NAME, host, ("OPRC_CRM_ALLOW_ANONYMOUS", "false")], &["OPRC_CRM_TOKEN"]);
        // Encryption is no credential.
        check(&[NAME, host, tls[0], tls[1]], &["OPRC_CRM_TOKEN"]);
        check(&[NAME, host, ("OPRC_CRM_TOKEN_FILE", "/does/not/exist")], &["OPRC_CRM_TOKEN_FILE"]);
        let config = check(&[NAME, host, ("OPRC_CRM_ALLOW_ANONYMOUS", "true")], &[]).unwrap();
        assert!(config.is_exposed);
        let config = check(&[NAME, host, ("OPRC_CRM_TOKEN", "s3cret")], &[]).unwrap();
        assert!(!config.is_exposed);
        let clients = ("OPRC_CRM_TLS_CLIENT_CA_PATH", file);
        assert!(!check(&[NAME, host, tls[0], tls[1], clients], &[]).unwrap().is_exposed);
    }
    for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(!check(&[NAME, ("OPRC_CRM_HOST", host)], &[]).unwrap().is_exposed);
    }
}
