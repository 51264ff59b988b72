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
    let endpoint = resolve(&global, &environment).unwrap().endpoint;
    let got = format!("{} {}", endpoint.server, endpoint.token.as_deref().unwrap_or("-"));
    assert_eq!(got, want, "{words:?} {env:?}");
}

#[test]
fn chooses_the_server() {
    check((None, None), (None, None), "http://prod of-prod");
    check((None, Some("dev")), (None, None), "http://dev -");
    check((None, Some("dev")), (Some("http://env"), Some("of-env")), "http://dev -");
    check((None, Some("dev")), (Some("http://DEV/"), Some("of-env")), "http://dev of-env");
    check((None, None), (None, Some("of-env")), "http://prod of-prod");
    // Another server never gets the context's token.
    check((None, None), (Some("http://env"), None), "http://env -");
    check((Some("http://flag"), None), (Some("http://env"), None), "http://flag -");
    check((Some("http://flag"), Some("prod")), (None, None), "http://flag -");
}

#[test]
fn falls_back_to_this_machine() {
    let endpoint = resolve(&Global::default(), &Environment::default()).unwrap().endpoint;
    assert_eq!((endpoint.server.as_str(), endpoint.token), (DEFAULT_SERVER, None));
}

/// The environment's token is for the server that the environment names.
#[test]
fn the_environments_token_goes_to_its_own_server_alone() {
    let resolve = |server: Option<&str>, env: Option<&str>, token: Option<&str>| {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let global = Global { server: own(server), token: own(token), ..Global::default() };
        let environment =
            Environment { server: own(env), token: own(Some("t0ken")), config_dir: None };
        let Chosen { endpoint, warnings } = super::resolve(&global, &environment).unwrap();
        assert!(!warnings.concat().contains("t0ken"), "{warnings:?}");
        (endpoint.token, warnings)
    };
    let sent = |token: &str| Some(token.to_owned());
    let pm = "https://pm.example.org";
    assert_eq!(resolve(None, Some(pm), None), (sent("t0ken"), vec![]));
    assert_eq!(
        resolve(Some("https://PM.example.org:443/"), Some(pm), None),
        (sent("t0ken"), vec![])
    );
    assert_eq!(resolve(None, None, None), (sent("t0ken"), vec![]), "this machine");
    // Another server, another scheme, another port; and none that is named.
    let others = ["https://other.example.org", "http://pm.example.org", "https://pm.example.org:1"];
    for (server, env) in others.map(|other| (other, Some(pm))).into_iter().chain([(pm, None)]) {
        let (token, warnings) = resolve(Some(server), env, None);
        assert_eq!(token, None, "{server}");
        assert!(warnings[0].contains("OPRC_TOKEN") && warnings[0].contains(server), "{warnings:?}");
        assert_eq!(resolve(Some(server), env, Some("mine")).0, sent("mine"));
    }
    for (server, warns) in [
        ("http://pm.example.org", true),
        ("http://192.0.2.7:8080", true),
        ("https://pm.example.org", false),
        ("http://localhost:8080", false),
        ("http://127.0.0.1:8080", false),
        ("http://[::1]:8080", false),
    ] {
        let (_, warnings) = resolve(Some(server), None, Some("mine"));
        let warned = warnings.iter().any(|warning| warning.contains("without encryption"));
        assert_eq!(warned, warns, "{server}");
    }
}
