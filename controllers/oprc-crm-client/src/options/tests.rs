//! Which endpoints are taken.

use super::*;

#[track_caller]
fn check(endpoint: &str, want: Result<&str, &str>) {
    let got = base_url(endpoint);
    match (&got, want) {
        (Ok(url), Ok(want)) => assert_eq!(url.as_str(), want, "{endpoint}"),
        (Err(why), Err(want)) => assert!(why.contains(want), "{endpoint}: {why}"),
        _ => panic!("{endpoint}: {got:?}, want {want:?}"),
    }
}

#[test]
fn endpoints_are_base_urls() {
    check("http://crm", Ok("http://crm/"));
    check("https://crm:8443/east", Ok("https://crm:8443/east/"));
    check("https://crm:8443/east/", Ok("https://crm:8443/east/"));
    check("http://[::1]:80", Ok("http://[::1]/"));
    check("crm:8080", Err("http or https"));
    check("ftp://crm", Err("http or https"));
    check("/crm", Err("relative URL"));
    check("http://", Err("empty host"));
    check("http://me:secret@crm", Err("credentials"));
    check("http://crm?a=b", Err("query"));
}

#[test]
fn secrets_are_not_shown() {
    let secret = TokenSource::Value(Secret::from("hunter2".to_owned()));
    assert!(!format!("{secret:?}").contains("hunter2"));
    assert_eq!(without_credentials("http://me:hunter2@crm/a"), "http://crm/a");
    assert_eq!(without_credentials("me:hunter2@crm"), "crm");
}
