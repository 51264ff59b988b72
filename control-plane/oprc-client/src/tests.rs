use reqwest::{StatusCode, Url};

use super::*;
use crate::{
    client::{headers, problem},
    endpoint::is_loopback,
};

fn client(server: &str) -> Client {
    Client::new(&Endpoint::new(server)).unwrap()
}

#[test]
fn builds_urls_below_any_base() {
    for (server, want) in [
        ("http://h", "http://h/api/v1/packages/a%20b?q=1%262"),
        ("https://h:1/pm/", "https://h:1/pm/api/v1/packages/a%20b?q=1%262"),
        ("https://h/pm?x#y", "https://h/pm/api/v1/packages/a%20b?q=1%262"),
    ] {
        let client = client(server);
        let url = client.url(&client.get_package("a b").query("q", "1&2"));
        assert_eq!(url.as_str(), want);
    }
}

#[test]
fn knows_its_own_machine() {
    for (url, want) in [
        ("http://localhost:1", true),
        ("http://127.9.0.1", true),
        ("http://[::1]:80", true),
        ("http://example.org", false),
        ("http://10.0.0.1", false),
    ] {
        assert_eq!(is_loopback(&Url::parse(url).unwrap()), want, "{url}");
    }
}

#[test]
fn refuses_odd_tokens() {
    assert!(headers(Some("a\nb")).is_err());
    assert!(headers(Some("ok")).unwrap()["authorization"].is_sensitive());
}

#[test]
fn makes_a_problem_of_any_refusal() {
    for (body, want) in [
        ("", "Bad Gateway"),
        ("<html>", "Bad Gateway"),
        (r#"{"title":"Sorry","status":200}"#, "Sorry"),
    ] {
        let problem = problem(StatusCode::BAD_GATEWAY, body.as_bytes());
        assert_eq!((problem.status, problem.title.as_str()), (502, want), "{body}");
    }
}
