//! The Package Manager's variables: defaults, bounds, and every mistake at once.

use std::{fmt::Write as _, fs};

use super::{Config, CrmCalls, CrmVariables, Storage, VARIABLES};
use crate::{
    Credential,
    parse::{Mistakes, Settings as _},
};

/// The one place that calls the parser.
fn parse(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Config::parse(variables.iter().map(owned).collect())
}

/// Checks that `variables` have exactly the mistakes `want`, in this order.
#[track_caller]
fn check(variables: &[(&str, &str)], want: &[(&str, &str)]) {
    let text = |variable: &str, problem: &str| format!("{variable}: {problem}");
    let got: Vec<_> = match parse(variables) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(|m| text(&m.variable, &m.problem)).collect(),
    };
    let want: Vec<_> = want.iter().map(|(variable, problem)| text(variable, problem)).collect();
    assert_eq!(got, want);
}

const URL: (&str, &str) = ("OPRC_PM_CRM_PROD_EAST_URL", "http://east:9091, http://east-b:9091/");

#[test]
fn an_empty_environment_is_the_defaults() {
    let config = parse(&[]).unwrap();
    assert_eq!(config.server.host.to_string(), "127.0.0.1");
    assert_eq!(config.server.port, 8080);
    assert_eq!(config.server.worker_threads, None);
    assert_eq!(config.leader.ttl_secs.get(), 5);
    assert!(
        matches!(config.storage, Storage::Embedded { data_dir } if data_dir.ends_with("oprc-data"))
    );
    assert!(config.crms.is_empty());
}

/// Writing out a default changes nothing: the table shows what the parser assumes.
#[test]
fn every_default_in_the_table_is_the_parsers() {
    for variable in VARIABLES.iter().copied().flatten() {
        let Some(default) = variable.default else { continue };
        let name = variable.name.replace("<ID>", "PROD_EAST");
        let (with, without) = (parse(&[URL, (&name, default)]), parse(&[URL]));
        assert!(with.unwrap() == without.unwrap(), "{name}");
    }
}

#[test]
fn a_crm_is_named_after_its_id_or_by_its_name() {
    let named = ("OPRC_PM_CRM_B_NAME", "edge-7");
    let config = parse(&[
        URL,
        ("OPRC_PM_CRM_B_URL", "https://b/crm/"),
        named,
        ("OPRC_PM_CRM_B_TOKEN", "s3cret"),
        ("OPRC_PM_CRM_B_TIMEOUT_SECS", "3"),
        ("OPRC_PM_CRM_DEFAULT_CLUSTER", "edge-7"),
    ])
    .unwrap();
    let [edge, east] = config.crms.as_slice() else { panic!("want two CRMs") };
    assert_eq!((edge.name.as_str(), east.name.as_str()), ("edge-7", "prod-east"));
    assert_eq!(edge.endpoints[0].as_str(), "https://b/crm");
    assert_eq!(east.endpoints[1].as_str(), "http://east-b:9091");
    assert_eq!((edge.timeout.as_secs(), east.timeout.as_secs()), (3, 10));
    assert_eq!(edge.token.as_ref().unwrap().read().unwrap().expose(), "s3cret");
    assert_eq!(config.default_cluster.unwrap().as_str(), "edge-7");
}

#[test]
fn numbers_have_bounds() {
    const TTL: &str = "OPRC_PM_LEADER_TTL_SECS";
    check(&[(TTL, "2")], &[]);
    check(&[(TTL, "300")], &[]);
    for wrong in ["1", "301", "-5", "5s", "99999999999999999999999"] {
        let want = format!("{wrong:?} is wrong: want a whole number from 2 to 300");
        check(&[(TTL, wrong)], &[(TTL, &want)]);
    }
    let port = "\"65536\" is wrong: want a port, 0 to 65535 (0: any free one)";
    check(&[("OPRC_PM_SERVER_PORT", "65536")], &[("OPRC_PM_SERVER_PORT", port)]);
}

#[test]
fn every_mistake_is_reported_at_once() {
    check(
        &[
            ("OPRC_PM_SERVER_HOST", "nowhere"),
            ("OPRC_PM_SERVER_PROT", "80"),
            ("OPRC_PM_LOG_FORMAT", ""),
            ("OPRC_PM_CRM_EAST_URL", "ftp://east"),
            ("OPRC_PM_CRM_EAST_TOKN", "s3cret"),
            ("OPRC_PM_CRM_DEFAULT_CLUSTER", "west"),
            ("OTHER_PORT", "not ours"),
        ],
        &[
            (
                "OPRC_PM_CRM_DEFAULT_CLUSTER",
                "\"west\" is not a configured cluster; configured: east; did you mean east?",
            ),
            (
                "OPRC_PM_CRM_EAST_TOKN",
                "is not a known variable; did you mean OPRC_PM_CRM_EAST_TOKEN?",
            ),
            (
                "OPRC_PM_CRM_EAST_URL",
                "is wrong (not shown): want a URL, http:// or https://, without user or query; \
                 several are separated by commas",
            ),
            ("OPRC_PM_LOG_FORMAT", "is empty: give it a value or do not set it"),
            (
                "OPRC_PM_SERVER_HOST",
                "\"nowhere\" is wrong: want an IP address, for example 127.0.0.1 or ::",
            ),
            ("OPRC_PM_SERVER_PROT", "is not a known variable; did you mean OPRC_PM_SERVER_PORT?"),
        ],
    );
}

#[test]
fn a_part_left_out_is_suggested() {
    let want = "is not a known variable; did you mean OPRC_PM_SERVER_PORT?";
    check(&[("OPRC_PM_PORT", "80")], &[("OPRC_PM_PORT", want)]);
    check(&[("OPRC_PM_XYZZY", "1")], &[("OPRC_PM_XYZZY", "is not a known variable")]);
}

/// A service named like the program makes variables that look like its settings.
#[test]
fn variables_of_kubernetes_are_told_apart() {
    for name in ["OPRC_PM_SERVICE_HOST", "OPRC_PM_SERVICE_PORT_HTTP", "OPRC_PM_PORT_80_TCP_ADDR"] {
        let want = "is set by Kubernetes for a service of that name; put enableServiceLinks: \
                    false into the pod's spec";
        check(&[(name, "10.0.0.1")], &[(name, want)]);
    }
}

#[test]
fn the_default_cluster_is_a_configured_one() {
    let default = |name| [URL, ("OPRC_PM_CRM_DEFAULT_CLUSTER", name)];
    check(&default("prod-east"), &[]);
    for (name, hint) in [
        ("production-east", "; did you mean prod-east?"),
        ("prod-eats", "; did you mean prod-east?"),
        ("edge", "; OPRC_PM_CRM_<ID>_NAME gives a cluster another name than its id"),
    ] {
        let want = format!("{name:?} is not a configured cluster; configured: prod-east{hint}");
        check(&default(name), &[("OPRC_PM_CRM_DEFAULT_CLUSTER", &want)]);
    }
    let none = "\"edge\" is not a configured cluster; none is: set OPRC_PM_CRM_<ID>_URL";
    check(&[default("edge")[1]], &[("OPRC_PM_CRM_DEFAULT_CLUSTER", none)]);
    let named = ("OPRC_PM_CRM_PROD_EAST_NAME", "production-east");
    check(&[URL, named, default("production-east")[1]], &[]);
}

#[test]
fn a_crm_has_a_url_and_a_name_of_its_own() {
    check(
        &[("OPRC_PM_CRM_EAST_TIMEOUT_SECS", "3")],
        &[("OPRC_PM_CRM_EAST_URL", "is not set, but other variables of this CRM are")],
    );
    check(
        &[URL, ("OPRC_PM_CRM_B_URL", "http://b"), ("OPRC_PM_CRM_B_NAME", "prod-east")],
        &[(
            "OPRC_PM_CRM_PROD_EAST_NAME",
            "prod-east is the same cluster as OPRC_PM_CRM_B_URL: give one of them a name",
        )],
    );
    check(
        &[("OPRC_PM_CRM_east_URL", "http://b")],
        &[(
            "OPRC_PM_CRM_east_NAME",
            "is not set, and the id east does not make the name of a cluster: use [A-Z0-9_] in \
             the id, or set it",
        )],
    );
}

#[test]
fn etcd_is_configured_when_it_is_used_and_only_then() {
    const ENDPOINTS: &str = "OPRC_PM_ETCD_ENDPOINTS";
    let etcd = ("OPRC_PM_STORAGE_TYPE", "etcd");
    let urls = (ENDPOINTS, "http://a:2379,http://b:2379");
    check(&[etcd, urls], &[]);
    check(&[etcd], &[(ENDPOINTS, "is not set, but OPRC_PM_STORAGE_TYPE is etcd")]);
    let unused = "is set, but OPRC_PM_STORAGE_TYPE is not etcd: change one of them";
    check(&[("OPRC_PM_STORAGE_TYPE", "embedded"), urls], &[(ENDPOINTS, unused)]);
    let mixed = (ENDPOINTS, "https://a:2379,http://b:2379");
    check(&[etcd, mixed], &[(ENDPOINTS, "mixes http:// and https://")]);
    for (wrong, is_right) in [("31", false), ("10001", false), ("many", false), ("32", true)] {
        const MAX_OPS: &str = "OPRC_PM_ETCD_MAX_TXN_OPS";
        let want = format!("{wrong:?} is wrong: want a whole number from 32 to 10000");
        let mistakes = [(MAX_OPS, want.as_str())];
        check(&[etcd, urls, (MAX_OPS, wrong)], if is_right { &[] } else { &mistakes });
    }
    let user = ("OPRC_PM_ETCD_USERNAME", "pm");
    let problem = "is not set, nor OPRC_PM_ETCD_PASSWORD_FILE, but the username is";
    check(&[etcd, urls, user], &[("OPRC_PM_ETCD_PASSWORD", problem)]);
    for wrong in ["oaas", "/", "/oaas/", "//"] {
        const PREFIX: &str = "OPRC_PM_ETCD_KEY_PREFIX";
        let want = "want segments that each begin with /, for example /oaas/pm";
        let want = format!("{wrong:?} is wrong: {want}");
        check(&[etcd, urls, (PREFIX, wrong)], &[(PREFIX, &want)]);
    }
}

#[test]
fn endpoints_of_etcd_need_neither_a_scheme_nor_a_storage_type() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, "PEM").unwrap();
    let ca = ("OPRC_PM_ETCD_CA_CERT_PATH", file.to_str().unwrap());
    let endpoints = |text: &str, more: &[(&str, &str)]| -> Vec<String> {
        let all = [&[("OPRC_PM_ETCD_ENDPOINTS", text)], more].concat();
        let Storage::Etcd(etcd) = parse(&all).unwrap().storage else { panic!("want etcd: {text}") };
        etcd.endpoints.iter().map(|it| it.as_str().to_owned()).collect()
    };
    let bare = "etcd-1:2379, [::1]:2379";
    assert_eq!(endpoints(bare, &[]), ["http://etcd-1:2379", "http://[::1]:2379"]);
    assert_eq!(endpoints(bare, &[ca]), ["https://etcd-1:2379", "https://[::1]:2379"]);
    assert_eq!(endpoints("https://a:1,b:2", &[]), ["https://a:1", "https://b:2"]);
    assert_eq!(endpoints("http://a:1,b:2", &[]), ["http://a:1", "http://b:2"]);
    let wrong = "is wrong (not shown): want a URL, http:// or https://, or host:port, without user or \
                 query; several are separated by commas";
    for text in ["etcd-1", "etcd-1:", "etcd-1:99999", ":2379", "u:p@etcd-1:2379", "etcd-1:2379/x"] {
        check(&[("OPRC_PM_ETCD_ENDPOINTS", text)], &[("OPRC_PM_ETCD_ENDPOINTS", wrong)]);
    }
    let plain = "has an http:// URL, but certificates are set: want https://";
    check(
        &[("OPRC_PM_ETCD_ENDPOINTS", "http://a:1,b:2"), ca],
        &[("OPRC_PM_ETCD_ENDPOINTS", plain)],
    );
}

/// A mistake in one variable hides none in those that depend on it.
#[test]
fn one_round_reports_every_mistake() {
    check(
        &[
            ("OPRC_PM_ETCD_ENDPOINTS", "etcd-1;etcd-2"),
            ("OPRC_PM_ETCD_USERNAME", "pm"),
            ("OPRC_PM_ETCD_CA_CERT_PATH", "/does/not/exist"),
            ("OPRC_PM_CRM_PROD_EAST_URL", "east"),
            ("OPRC_PM_CRM_PROD_EAST_TOKEN_FILE", "/does/not/exist"),
            ("OPRC_PM_CRM_DEFAULT_CLUSTER", "production-east"),
        ],
        &[
            (
                "OPRC_PM_CRM_DEFAULT_CLUSTER",
                "\"production-east\" is not a configured cluster; configured: prod-east; did you \
                 mean prod-east?",
            ),
            (
                "OPRC_PM_CRM_PROD_EAST_TOKEN_FILE",
                "/does/not/exist cannot be read: No such file or directory (os error 2)",
            ),
            (
                "OPRC_PM_CRM_PROD_EAST_URL",
                "is wrong (not shown): want a URL, http:// or https://, without user or query; \
                 several are separated by commas",
            ),
            (
                "OPRC_PM_ETCD_CA_CERT_PATH",
                "/does/not/exist cannot be read: No such file or directory (os error 2)",
            ),
            (
                "OPRC_PM_ETCD_ENDPOINTS",
                "is wrong (not shown): want a URL, http:// or https://, or host:port, without user \
                 or query; several are separated by commas",
            ),
            (
                "OPRC_PM_ETCD_PASSWORD",
                "is not set, nor OPRC_PM_ETCD_PASSWORD_FILE, but the username is",
            ),
        ],
    );
}

#[test]
fn a_secret_has_one_source_and_its_file_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let path_text = path.to_str().unwrap();
    let token = ("OPRC_PM_CRM_PROD_EAST_TOKEN", "s3cret");
    let file = ("OPRC_PM_CRM_PROD_EAST_TOKEN_FILE", path_text);

    let absent = format!("{path_text} cannot be read: No such file or directory (os error 2)");
    check(&[URL, file], &[(file.0, &absent)]);
    fs::write(&path, "first\n").unwrap();
    let both = format!("is set, and so is {}: choose one", token.0);
    check(&[URL, token, file], &[(file.0, &both)]);

    let config = parse(&[URL, file]).unwrap();
    let Some(Credential::File(_)) = config.crms[0].token else { panic!("want a file") };
    let read = || config.crms[0].token.as_ref().unwrap().read();
    assert_eq!(read().unwrap().expose(), "first");
    fs::write(&path, "second\n").unwrap();
    assert_eq!(read().unwrap().expose(), "second", "a rotated token needs no restart");
    fs::write(&path, "two\nlines").unwrap();
    assert!(read().is_err(), "a token that no header can carry");
}

#[test]
fn certificates_are_readable_and_belong_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cert.pem");
    fs::write(&path, "PEM").unwrap();
    let path_text = path.to_str().unwrap();
    let dir_text = dir.path().to_str().unwrap();
    let https = ("OPRC_PM_CRM_E_URL", "https://e");
    let (cert, key) = ("OPRC_PM_CRM_E_CLIENT_CERT_PATH", "OPRC_PM_CRM_E_CLIENT_KEY_PATH");

    check(&[https, (cert, path_text), (key, path_text)], &[]);
    let alone = format!("is not set, but {cert} is: they come together");
    check(&[https, (cert, path_text)], &[(key, &alone)]);
    let ca = ("OPRC_PM_CRM_E_CA_CERT_PATH", path_text);
    let plain = "has an http:// URL, but certificates are set: want https://";
    check(&[("OPRC_PM_CRM_E_URL", "http://e"), ca], &[("OPRC_PM_CRM_E_URL", plain)]);
    let folder = format!("{dir_text} cannot be read: Is a directory (os error 21)");
    check(&[https, (ca.0, dir_text)], &[(ca.0, &folder)]);
}

/// No text that the parser makes holds a value that may be a secret.
#[test]
fn a_mistake_never_shows_a_secret() {
    let mut text = String::new();
    for (name, value) in [
        ("OPRC_PM_ETCD_PASSWORD", "hunter2\u{7}"),
        ("OPRC_PM_CRM_E_TOKEN", "hunter2\n"),
        ("OPRC_PM_CRM_E_URL", "http://me:hunter2@east"),
        ("OPRC_PM_ETCD_ENDPOINTS", "http://me:hunter2@etcd"),
        ("OPRC_PM_ETCD_PASSWRD", "hunter2"),
    ] {
        let Err(mistakes) = parse(&[(name, value)]) else { panic!("want mistakes") };
        write!(text, "{mistakes} {mistakes:?}").unwrap();
    }
    assert!(!text.contains("hunter2"), "{text}");
}

/// No variable of [`super::CrmCalls`] can be taken for one of the family.
#[test]
fn the_family_and_its_neighbours_are_disjoint() {
    let family: Vec<_> = CrmVariables::VARIABLES
        .iter()
        .map(|variable| variable.name.trim_start_matches("OPRC_PM_CRM_<ID>"))
        .collect();
    for variable in CrmCalls::VARIABLES {
        assert!(!family.iter().any(|suffix| variable.name.ends_with(suffix)), "{}", variable.name);
    }
}

#[test]
fn the_door() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pem");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let (cert, key) = ("OPRC_PM_SERVER_TLS_CERT_PATH", "OPRC_PM_SERVER_TLS_KEY_PATH");
    let (client_ca, client_auth) =
        ("OPRC_PM_SERVER_TLS_CLIENT_CA_PATH", "OPRC_PM_SERVER_TLS_CLIENT_AUTH");
    let needs = "is not set, but OPRC_PM_SERVER_TLS_CERT_PATH is: TLS needs both";
    check(&[(cert, file)], &[(key, needs)]);
    let without = "is set, but OPRC_PM_SERVER_TLS_CLIENT_CA_PATH is not";
    check(&[(client_auth, "optional")], &[(client_auth, without)]);
    let is_required = |more: &[(&str, &str)]| {
        let all = [&[(cert, file), (key, file), (client_ca, file)], more].concat();
        parse(&all).unwrap().tls.unwrap().clients.unwrap().is_required
    };
    assert!(is_required(&[]), "who names authorities means that they are asked");
    assert!(is_required(&[(client_auth, "required")]));
    assert!(!is_required(&[(client_auth, "optional")]));

    for text in ["10.0.0.0/8", "10.1.2.3", "fd00::/8", "::1, 127.0.0.0/8"] {
        check(&[("OPRC_PM_SERVER_TRUSTED_PROXIES", text)], &[]);
    }
    for text in ["https://console.example.org", "http://localhost:3000"] {
        check(&[("OPRC_PM_CORS_ALLOWED_ORIGINS", text)], &[]);
    }
    for text in ["*", "null", "https://x/", "https://X", "console.example.org", "https://x/y"] {
        let problem = format!(
            "{text:?} is wrong: want an origin in lower case, for example \
             https://console.example.org; several are separated by commas"
        );
        check(
            &[("OPRC_PM_CORS_ALLOWED_ORIGINS", text)],
            &[("OPRC_PM_CORS_ALLOWED_ORIGINS", &problem)],
        );
    }
    for (text, is_wanted) in
        [("off", true), ("stdout", true), ("/var/log/a", true), ("audit.log", false), ("/", false)]
    {
        assert_eq!(parse(&[("OPRC_PM_AUDIT_LOG", text)]).is_ok(), is_wanted, "{text}");
    }
}
