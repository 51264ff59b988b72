use super::*;

/// The server and token chosen, of contexts `prod` (current, with a token) and `dev`.
fn check(words: (Option<&str>, Option<&str>), env: (Option<&str>, Option<&str>), want: &str) {
    let dir = tempfile::TempDir::new().unwrap();
    let context = |server: &str, token: Option<&str>| Context {
        server: server.to_owned(),
        token: token.map(str::to_owned),
        ca_cert: None,
        insecure_skip_verify: false,
    };
    let contexts = BTreeMap::from([
        ("prod".to_owned(), context("http://prod", Some("of-prod"))),
        ("dev".to_owned(), context("http://dev", None)),
    ]);
    let contexts = Contexts { current: Some("prod".to_owned()), contexts };
    contexts.store(Some(dir.path())).unwrap();

    let own = |text: Option<&str>| text.map(str::to_owned);
    let global = Global { server: own(words.0), context: own(words.1), ..Global::default() };
    let environment = Environment {
        server: own(env.0),
        token: own(env.1),
        config_dir: Some(dir.path().to_owned()),
    };
    let endpoint = resolve(&global, &environment).unwrap();
    let got = format!("{} {}", endpoint.server, endpoint.token.as_deref().unwrap_or("-"));
    assert_eq!(got, want, "{words:?} {env:?}");
}

#[test]
fn chooses_the_server() {
    check((None, None), (None, None), "http://prod of-prod");
    check((None, Some("dev")), (None, None), "http://dev -");
    check((None, Some("dev")), (Some("http://env"), Some("of-env")), "http://dev of-env");
    check((None, None), (None, Some("of-env")), "http://prod of-prod");
    // Another server never gets the context's token.
    check((None, None), (Some("http://env"), None), "http://env -");
    check((Some("http://flag"), None), (Some("http://env"), None), "http://flag -");
    check((Some("http://flag"), Some("prod")), (None, None), "http://flag -");
}

#[test]
fn falls_back_to_this_machine() {
    let endpoint = resolve(&Global::default(), &Environment::default()).unwrap();
    assert_eq!((endpoint.server.as_str(), endpoint.token), (DEFAULT_SERVER, None));
}
