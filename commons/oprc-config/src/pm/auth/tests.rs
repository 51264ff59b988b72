use std::{collections::BTreeMap, fs};

use super::Auth;
use crate::pm::Config;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const MODE: &str = "OPRC_PM_AUTH_MODE";
const HOST: &str = "OPRC_PM_SERVER_HOST";

fn parse(variables: &[(&str, &str)]) -> Result<Auth, Vec<(String, String)>> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = Config::parse(variables).map_err(|mistakes| {
        mistakes.iter().map(|m| (m.variable.clone(), m.problem.clone())).collect::<Vec<_>>()
    });
    config.map(|config| config.auth)
}

/// The one mistake is of `variable`, and its problem begins with `problem`.
#[track_caller]
fn check_wrong(variables: &[(&str, &str)], variable: &str, problem: &str) {
    let mistakes = parse(variables).err().unwrap();
    let [(name, text)] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    assert_eq!(name, variable);
    assert!(text.starts_with(problem), "{text}");
    assert!(!text.contains(SECRET), "{text}");
}

fn jwt<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut variables = vec![(MODE, "jwt"), ("OPRC_PM_AUTH_ISSUER", "https://id.example.org")];
    variables.extend_from_slice(more);
    variables
}

#[test]
fn anonymous_callers_reach_a_loopback_address_alone() {
    for host in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(matches!(parse(&[(HOST, host)]), Ok(Auth::Anonymous)), "{host}");
    }
    for host in ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"] {
        check_wrong(&[(HOST, host)], MODE, "is none, but the API listens on");
        let allowed = [(HOST, host), ("OPRC_PM_AUTH_ALLOW_ANONYMOUS", "true")];
        assert!(matches!(parse(&allowed), Ok(Auth::Anonymous)), "{host}");
        let locked = jwt(&[(HOST, host), ("OPRC_PM_AUTH_JWT_SECRET", SECRET)]);
        assert!(matches!(parse(&locked), Ok(Auth::Jwt(_))), "{host}");
    }
    let mistakes = parse(&[(HOST, "0.0.0.0")]).err().unwrap();
    for way_out in ["OPRC_PM_AUTH_MODE=jwt", "OPRC_PM_AUTH_ALLOW_ANONYMOUS=true"] {
        assert!(mistakes[0].1.contains(way_out), "{mistakes:?}");
    }
}

#[test]
fn a_door_that_looks_locked_is() {
    let folder = tempfile::tempdir().unwrap();
    let [good, short, empty] = ["good", "short", "empty"].map(|name| folder.path().join(name));
    fs::write(&good, SECRET).unwrap();
    fs::write(&short, "s3cret\n").unwrap();
    fs::write(&empty, "").unwrap();
    let [good, short, empty] = [&good, &short, &empty].map(|path| path.to_str().unwrap());
    let secret = ("OPRC_PM_AUTH_JWT_SECRET", SECRET);
    let file = "OPRC_PM_AUTH_JWT_SECRET_FILE";
    let set = "is set, but OPRC_PM_AUTH_MODE is not jwt";
    check_wrong(&[secret], "OPRC_PM_AUTH_JWT_SECRET", set);
    check_wrong(&[("OPRC_PM_AUTH_ADMINS", "ada")], "OPRC_PM_AUTH_ADMINS", set);
    check_wrong(&jwt(&[]), MODE, "is jwt, but no key is given");
    check_wrong(&[(MODE, "jwt"), secret], "OPRC_PM_AUTH_ISSUER", "is not set");
    check_wrong(&[(MODE, "jwks")], MODE, "\"jwks\" is wrong: want none or jwt");
    check_wrong(
        &jwt(&[("OPRC_PM_AUTH_JWT_SECRET", "s3cret")]),
        "OPRC_PM_AUTH_JWT_SECRET",
        "holds 6 bytes: want at least 32",
    );
    check_wrong(&jwt(&[(file, short)]), file, "holds 6 bytes");
    check_wrong(&jwt(&[(file, good), secret]), file, "is set, and so is OPRC_PM_AUTH_JWT_SECRET");
    check_wrong(&jwt(&[(file, empty)]), file, "");
    check_wrong(
        &jwt(&[secret, ("OPRC_PM_AUTH_ALLOW_ANONYMOUS", "true")]),
        "OPRC_PM_AUTH_ALLOW_ANONYMOUS",
        "is true, but",
    );
    let url = "OPRC_PM_AUTH_JWKS_URL";
    check_wrong(&jwt(&[(url, "http://id.example.org/jwks")]), url, "is http:// to another machine");
    check_wrong(
        &jwt(&[secret, ("OPRC_PM_AUTH_JWKS_CA_CERT_PATH", good)]),
        "OPRC_PM_AUTH_JWKS_CA_CERT_PATH",
        "is set, but OPRC_PM_AUTH_JWKS_URL is not",
    );
    for near in ["http://127.0.0.1:1/jwks", "http://[::1]/jwks", "https://id.example.org/jwks"] {
        assert!(parse(&jwt(&[(url, near)])).is_ok(), "{near}");
    }
    let admins =
        [secret, ("OPRC_PM_AUTH_ADMINS", "ada, bob"), ("OPRC_PM_AUTH_METRICS_OPEN", "false")];
    let Ok(Auth::Jwt(parsed)) = parse(&jwt(&admins)) else { panic!() };
    assert_eq!(parsed.admins, ["ada", "bob"]);
    assert_eq!((parsed.audience.as_str(), parsed.leeway.as_secs()), ("oprc-pm", 30));
    assert!(!parsed.has_open_metrics);
}
