//! Tables of what people write, and what comes of it.

mod properties;

use serde_json::json;

use super::*;

fn yaml(text: &str) -> Result<Parsed<PackageDocument>, Vec<Violation>> {
    package(text.as_bytes(), Format::Yaml)
}

#[track_caller]
fn valid(text: &str) -> (OPackage, Vec<String>) {
    let parsed = yaml(text).unwrap();
    let warnings = parsed.warnings.into_iter().map(|warning| warning.pointer).collect();
    match parsed.value {
        PackageDocument::Package(package) => (package, warnings),
        PackageDocument::Deployments(list) => panic!("deployments: {list:?}"),
    }
}

/// The violations, each as `pointer: message`.
#[track_caller]
fn check_invalid(text: &str, want: &[&str]) {
    let violations = yaml(text).unwrap_err();
    let got: Vec<String> =
        violations.iter().map(|v| format!("{}: {}", v.pointer, v.message)).collect();
    assert_eq!(got, want);
}

/// What sounds like a secret and is written down is told of, by its name alone.
#[test]
fn literal_secrets_are_warned_of() {
    let function = r#"{"key":"f","config":{"DB_PASSWORD":"hunter2","LEVEL":"info","EMPTY_TOKEN":""},
        "secrets":{"API_TOKEN":{"name":"api","key":"token"}}}"#;
    let change = r#"{"function_key":"f","config":{"API_KEY":"hunter2"}}"#;
    let deployment =
        format!(r#"{{"key":"d","package_name":"p","class_key":"C","functions":[{change}]}}"#);
    let package = format!(
        r#"{{"name":"p","classes":[{{"key":"C"}}],"functions":[{function}],"deployments":[{deployment}]}}"#
    );
    let list = format!(r#"{{"package_name":"p","deployments":[{deployment}]}}"#);
    let told = |warnings: Vec<Violation>| {
        assert!(!format!("{warnings:?}").contains("hunter2"));
        let sound = warnings.into_iter().filter(|it| it.message.contains("sounds like a secret"));
        sound.map(|it| it.pointer).collect::<Vec<_>>()
    };
    let read = |text: &str| super::package(text.as_bytes(), Format::Json).unwrap().warnings;
    let in_deployment = "/functions/0/config/API_KEY";
    let in_list = format!("/deployments/0{in_deployment}");
    assert_eq!(told(read(&package)), ["/functions/0/config/DB_PASSWORD", &in_list]);
    assert_eq!(told(read(&list)), [in_list]);
    let read = super::deployment(deployment.as_bytes(), Format::Json).unwrap().warnings;
    assert_eq!(told(read), [in_deployment]);
}

/// A reference has no place for a value: what is written there is not kept.
#[test]
fn a_secret_is_a_reference() {
    let with = |secret: &str| {
        let text =
            format!(r#"{{"name":"p","functions":[{{"key":"f","secrets":{{"A":{secret}}}}}]}}"#);
        super::package(text.as_bytes(), Format::Json)
    };
    for (secret, want) in [
        (r#""hunter2""#, "/functions/0/secrets/A"),
        (r#"{"name":"db"}"#, "/functions/0/secrets/A/key"),
        (r#"{"name":"d b","key":"k"}"#, "/functions/0/secrets/A/name"),
        (r#"{"name":"db","key":"../k"}"#, "/functions/0/secrets/A/key"),
    ] {
        let violations = with(secret).unwrap_err();
        assert_eq!(violations.len(), 1, "{violations:?}");
        assert_eq!(violations[0].pointer, want);
    }
    let parsed = with(r#"{"name":"db","key":"k","value":"hunter2"}"#).unwrap();
    assert!(parsed.warnings.iter().any(|it| it.pointer == "/functions/0/secrets/A/value"));
    assert!(!format!("{:?}", parsed.value).contains("hunter2"));
}

#[test]
fn takes_scalars_as_text_where_text_is_expected() {
    let (package, warnings) = valid(
        "
name: shop
version: 1.0
functions:
  - key: cart.add
    provision_config: { container_image: shop/add:1, port: 8080, cpu_request: 1, memory_limit: 1e3 }
    config: { HTTP_PORT: 80, DEBUG: True, HEX: 0x1F, EMPTY: , RATIO: 1.50, SPELT: 'true' }
classes:
  - key: Cart
    function_bindings: [{ name: add, function_key: cart.add, immutable: true }]
    state_spec: { persistent: }
",
    );
    assert_eq!(package.version.as_deref(), Some("1.0"));
    let config: Vec<(&str, &str)> =
        package.functions[0].config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let want = [
        ("DEBUG", "True"),
        ("EMPTY", ""),
        ("HEX", "0x1F"),
        ("HTTP_PORT", "80"),
        ("RATIO", "1.50"),
        ("SPELT", "true"),
    ];
    assert_eq!(config, want);
    assert!(package.classes[0].function_bindings[0].stateless);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn reports_every_violation_at_once() {
    check_invalid(
        "
name: no/slash
functions:
  - { key: add, provision_config: { port: http, min_scale: 3, max_scale: 2 } }
  - { key: add, function_type: CUSTOMS }
  - just text
classes:
  - key: Cart
    function_bindings:
      - { name: add, function_key: ad }
      - { name: add, function_key: add, access_modifier: public }
deployments:
  - { class_key: Cart, nfr_requirements: { availability: 1.5, min_throughput_rps: 0 } }
  - { class_key: Cort, target_envs: [Prod East, edge-1, edge-1] }
",
        &[
            r#"/classes/0/function_bindings/0/function_key: no function "ad" in this package: want one of its own, or `package.function` of a declared dependency; did you mean add?"#,
            r#"/classes/0/function_bindings/1/access_modifier: want one of PUBLIC, INTERNAL, PRIVATE, not "public"; did you mean PUBLIC?"#,
            r#"/classes/0/function_bindings/1/name: "add" is already at /classes/0/function_bindings/0"#,
            "/deployments/0/nfr_requirements/availability: want a number from 0 to 1, not 1.5",
            "/deployments/0/nfr_requirements/min_throughput_rps: want a whole number from 1 to 4294967295, not 0",
            r#"/deployments/1/class_key: no class "Cort" in the package; did you mean Cart?"#,
            r#"/deployments/1/target_envs/0: "Prod East" is not a cluster name: want 1 to 63 of [a-z0-9-], with a letter or digit at both ends"#,
            r#"/deployments/1/target_envs/2: "edge-1" is already at /deployments/1/target_envs/1"#,
            "/functions/0/provision_config/container_image: CUSTOM function add has no container_image, but class Cart, which binds it, is deployed",
            "/functions/0/provision_config/min_scale: min_scale 3 is greater than max_scale 2",
            "/functions/0/provision_config/port: want a whole number from 0 to 65535, not http",
            "/functions/1/function_type: want one of BUILTIN, CUSTOM, MACRO, LOGICAL, WASM, not \"CUSTOMS\"; did you mean CUSTOM?",
            r#"/functions/1/key: "add" is already at /functions/0"#,
            "/functions/1/provision_config/container_image: CUSTOM function add has no container_image, but class Cart, which binds it, is deployed",
            "/functions/2: want a mapping, not just text",
            r#"/name: "no/slash" is not a package name: want 1 to 253 of [A-Za-z0-9._-], beginning with a letter or digit"#,
        ],
    );
}

/// What a text is as JSON; an error is its violations, each as `pointer: message`.
#[track_caller]
fn check_node(text: &str, format: Format, want: Result<serde_json::Value, &str>) {
    let got = document(text.as_bytes(), format, &never).map(|node| node.to_json());
    let got = got.map_err(|violations| {
        let all: Vec<String> =
            violations.iter().map(|v| format!("{}: {}", v.pointer, v.message)).collect();
        all.join("; ")
    });
    assert_eq!(got, want.map_err(str::to_owned), "{text}");
}

#[test]
fn reads_yaml() {
    let ok = |text, want| check_node(text, Format::Yaml, Ok(want));
    ok("a: 1", json!({"a": 1}));
    ok(
        "a: [1, 1.50, -0, +5, 0x1F, 0o17, 007, .5, 1e3]",
        serde_json::from_str(r#"{"a": [1, 1.50, -0, 5, 31, 15, 7, 0.5, 1e3]}"#).unwrap(),
    );
    ok("a: [true, False, TRUE, yes, on]", json!({"a": [true, false, true, "yes", "on"]}));
    ok("a: [null, ~, Null]\nc:\n-\n- NULL", json!({"a": [null, null, null], "c": [null, null]}));
    ok("a:\nb: ''", json!({"a": null, "b": ""}));
    ok("a: ['1', \"true\", !!str 2, ! 3, !!int '4']", json!({"a": ["1", "true", "2", "3", 4]}));
    ok(
        "a: [.inf, -.inf, .nan, inf, 1_000, 12:30]",
        json!({"a": [".inf", "-.inf", ".nan", "inf", "1_000", "12:30"]}),
    );
    ok("a: |\n  line\n  more\nb: >-\n  one\n  two", json!({"a": "line\nmore\n", "b": "one two"}));
    ok("80: x\ntrue: y", json!({"80": "x", "true": "y"}));
    ok("\u{feff}a: \"\\u00e9 \\x41\"", json!({"a": "é A"}));
    ok("a: &x [1]\nb: *x", json!({"a": [1], "b": [1]}));
    ok(
        "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}",
        json!({"x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}}),
    );
    ok("y: {<<: [{a: 1}, {a: 2, b: 2}]}", json!({"y": {"a": 1, "b": 2}}));
    ok("{b: 0, <<: {c: 1, b: 2, a: 3}, a: 4}", json!({"b": 0, "a": 4, "c": 1}));
    ok("{\"a\": [1, \"b\", null]}", json!({"a": [1, "b", null]}));
}

#[test]
fn refuses_yaml() {
    let refused = |text: &str, want: &str| check_node(text, Format::Yaml, Err(want));
    refused("", ": no document: want one");
    refused("# nothing\n---\n---\n", ": no document: want one");
    refused("a: 1\n---\nb: 2\n---\nc: 3", ": 3 documents: want one");
    refused("a: 1\nb: 2\na: 3", "/a: this key is given more than once");
    refused(
        "x: {p: [{q: 1, 'q': 2}], p: 1}",
        "/x/p/0/q: this key is given more than once; /x/p: this key is given more than once",
    );
    refused("a/b: {~c: 1, '~c': 2}", "/a~1b/~0c: this key is given more than once");
    refused("a: {b: [1, 2}", "/a/b/1: mismatched bracket '[' closed by '}' (line 1 column 8)");
    refused(
        "a:\n\t- b",
        "/a: tabs disallowed within this context (block indentation) (line 2 column 2)",
    );
    refused("a: *nowhere", "/a: while parsing node, found unknown anchor (line 1 column 4)");
    refused(
        "a: &a [*a]",
        "/a/0: an alias to what is not complete: in another document, or itself (line 1 column 8)",
    );
    refused(
        "a: !include b.yaml",
        "/a: the tag \"!include\" does not fit: only YAML's own are known, as !!str (line 1 column 4)",
    );
    refused(
        "a: !!set {b}",
        "/a: the tag \"tag:yaml.org,2002:set\" does not fit: only YAML's own are known, as !!str (line 1 column 4)",
    );
    refused("? [a]\n: b", ": a list as a key: want text (line 1 column 5)");
    refused("{: b}", ": nothing (null) as a key: want text (line 1 column 2)");
    refused("a: 1\nb: x\0y", ": control character U+0000 in the text (line 2)");
    refused("y: {<<: 1}", "/y: `<<` merges a mapping or a list of mappings (line 1 column 10)");
}

#[test]
fn refuses_json() {
    let refused = |text: &str, want: &str| check_node(text, Format::Json, Err(want));
    refused("", ": EOF while parsing a value at line 1 column 0");
    refused("{\"a\": 1,}", ": trailing comma at line 1 column 9");
    refused("{\"a\": 1} x", ": trailing characters at line 1 column 10");
    refused("{\"a\": [1, 2", "/a/2: EOF while parsing a list at line 1 column 11");
    refused("{\"a\": [1, 02]}", "/a/1: invalid number at line 1 column 12");
    refused("{\"a\": NaN}", "/a: expected value at line 1 column 7");
    refused(
        "{\"a\": {\"b\": 1, \"b\": 2}, \"a\": 3}",
        "/a/b: this key is given more than once; /a: this key is given more than once",
    );
}

#[test]
fn keeps_the_text_of_json_numbers() {
    for number in
        ["1.0", "1.10", "80", "-0", "-7", "0.1000", "123456789012345678901234567890", "1e+2"]
    {
        let node = document(format!("[{number}]").as_bytes(), Format::Json, &never).unwrap();
        assert_eq!(node, Node::Sequence([Node::plain(number)].into()));
        assert_eq!(node.to_json().to_string(), format!("[{number}]"));
    }
}

#[test]
fn refuses_what_is_not_utf8() {
    for format in [Format::Json, Format::Yaml] {
        let violations = document(b"a: 1\nb: \xff\xfe", format, &never).unwrap_err();
        assert_eq!(violations, [Violation::new("", "not UTF-8 text: byte 8 (line 2)")]);
    }
}

/// What costs a sender little must not cost us much: refused, and in a moment.
#[test]
fn refuses_bombs() {
    let n = 1 << 18;
    let numbered = |n: usize| (0..n).map(|i| format!("key-{i}: 1,")).collect::<String>();
    let aliases = (0..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
        text + &format!("a{}: &a{} [{}]\n", i + 1, i + 1, vec![format!("*a{i}"); 10].join(","))
    });
    let cases = [
        ("aliases stand for more than", aliases),
        (
            "aliases stand for more than",
            format!("a: &a {}\nb: [{}]", "x".repeat(n), "*a,".repeat(9)),
        ),
        ("nested deeper than 64", "- ".repeat(n)),
        ("recursion limit exceeded", "[".repeat(n)),
        ("recursion limit exceeded", "{a: ".repeat(n)),
        (
            "counting what the alias is for",
            format!(
                "a: &a {}{}\nb: {}*a{}",
                "[".repeat(40),
                "]".repeat(40),
                "[".repeat(40),
                "]".repeat(40)
            ),
        ),
        ("too many small values", "- a\n".repeat(n)),
        ("more than 250000 values", "- abcdefg\n".repeat(n)),
        ("merges more than 50000 entries", format!("{{<<: {{{}}}}}", numbered(60_000))),
        ("more than 10000 anchors", format!("[{}]", "&a b,".repeat(n / 8))),
        ("anchors name more", format!("a: &a [{}]\nb: *a", "abcdefg,".repeat(n / 4))),
        ("want at most 16777216", " ".repeat(MAX_STREAM_BYTES + 1)),
    ];
    for (want, text) in cases {
        let violations = documents(text.as_bytes(), Format::Yaml).unwrap_err();
        let [violation] = violations.as_slice() else { panic!("{violations:?}") };
        assert!(violation.message.contains(want), "{want}: {violation:?}");
    }
    for (want, text) in [
        ("nested deeper than 64", "[".repeat(n)),
        ("nested deeper than 64", "{\"a\":".repeat(n)),
        ("too many small values", format!("[{}1]", "1,".repeat(n))),
        ("more than 250000 values", format!("[{}1]", "1234567,".repeat(n))),
    ] {
        let violations = documents(text.as_bytes(), Format::Json).unwrap_err();
        let [violation] = violations.as_slice() else { panic!("{violations:?}") };
        assert!(violation.message.contains(want), "{want}: {violation:?}");
    }
}

/// A caller that has gone is not worked for: reading asks, and stops.
#[test]
fn cancelled_readings_stop() {
    for (format, text) in [
        (Format::Yaml, "- abcdefgh\n".repeat(10_000)),
        (Format::Json, format!("[{}1]", "12345678,".repeat(10_000))),
    ] {
        let n_asked = std::cell::Cell::new(0);
        let is_cancelled = || {
            n_asked.set(n_asked.get() + 1);
            n_asked.get() == 3
        };
        let violations = document(text.as_bytes(), format, &is_cancelled).unwrap_err();
        assert!(violations[0].message.starts_with("reading was cancelled"), "{violations:?}");
        assert_eq!(n_asked.get(), 3, "it goes no further");
        assert!(violations[0].pointer.len() <= "/9999".len(), "{violations:?}");
        assert!(document(text.as_bytes(), format, &never).is_ok());
    }
}

/// An answer is a page of text, whatever was sent.
#[test]
fn answers_are_short() {
    let long = "x".repeat(1 << 16);
    let cases = [
        format!("name: {long}"),
        format!("name: a\n{long}: 1"),
        format!("name: a\nclasses: [{{key: {long}, {long}: 2}}]"),
        format!(
            "{long}: {{{}}}",
            (0..2_000).map(|i| format!("a{i}: 1, a{i}: 2, ")).collect::<String>()
        ),
        format!("name: a\nlabels: {{{long}: {long}}}"),
        format!(
            "name: a\nfunctions: [{{key: f, provision_config: {{cpu_limit: {long}, port: {long}}}}}]"
        ),
        format!("name: a\ndependencies: [{long}, 'a@{long}']"),
        format!(
            "name: a\nclasses:\n{}",
            "- {key: c, function_bindings: [{name: '', function_key: f}]}\n".repeat(999)
        ),
        format!("name: a\nclasses: [{}]", "x,".repeat(999)),
        format!("*{long}"),
        format!("!{long} a"),
    ];
    for text in cases {
        let told = match yaml(&text) {
            Ok(parsed) => parsed.warnings,
            Err(violations) => violations,
        };
        assert!(!told.is_empty() && told.len() <= MAX_VIOLATIONS + 1, "{}", told.len());
        for Violation { pointer, message } in told {
            assert!(pointer.len() + message.len() < 2_000, "{pointer}: {message}");
        }
    }
}

/// The work is bounded by the document's size, not by its square: each of these has pairs by the
/// hundred million that are not worth comparing.
#[test]
fn everything_with_everything_is_not_compared() {
    let bindings = "{name: a, function_key: abcdefghij},".repeat(200);
    let functions: String = (0..1_000).map(|i| format!("{{key: klmnopq-{i}}},")).collect();
    let classes: String =
        (0..120).map(|i| format!("{{key: c{i}, function_bindings: [{bindings}]}},")).collect();
    let names: String = (0..15_000).map(|i| format!("{{key: c{i}}},")).collect();
    let deployments: String = (0..15_000).map(|i| format!("{{class_key: c{i}}},")).collect();
    let too_many = "want at most";
    for (text, want) in [
        (format!("{{name: a, classes: [{classes}], functions: [{functions}]}}"), "already at"),
        (format!("{{name: a, classes: [{names}], deployments: [{deployments}]}}"), too_many),
        (format!("{{name: a/b, classes: [{names}], deployments: [{deployments}]}}"), too_many),
        (format!("{{name: a, deployments: [{}]}}", "{},".repeat(1_000)), "is missing"),
    ] {
        assert!(text.len() < MAX_DOCUMENT_BYTES);
        let violations = yaml(&text).unwrap_err();
        assert!(violations[0].message.contains(want), "{:?}", violations[0]);
    }
}

#[test]
fn a_document_of_tiny_classes_is_refused_for_their_number() {
    let classes = "{\"key\":\"a\"},".repeat(30_000);
    let text = format!("{{\"name\":\"x\",\"classes\":[{}]}}", classes.trim_end_matches(','));
    assert!(text.len() < MAX_DOCUMENT_BYTES);
    let violations = package(text.as_bytes(), Format::Json).unwrap_err();
    let first = violations.first().unwrap();
    assert_eq!(first, &Violation::new("/classes", "30000 entries: want at most 1000"));
}

#[test]
fn types_are_kept() {
    let function =
        |fields: &str| format!("name: a\nfunctions: [{{key: f, provision_config: {{{fields}}}}}]");
    let at =
        |field: &str, message: &str| format!("/functions/0/provision_config/{field}: {message}");
    for (fields, field, message) in [
        ("port: '80'", "port", "want a whole number from 0 to 65535, not the text \"80\""),
        ("port: 80.0", "port", "want a whole number from 0 to 65535, not 80.0"),
        ("port: 65536", "port", "want a whole number from 0 to 65535, not 65536"),
        ("port: 0", "port", "want a port from 1 to 65535, not 0"),
        ("min_scale: -1", "min_scale", "want a whole number from 0 to 4294967295, not -1"),
        ("min_scale: [1]", "min_scale", "want a whole number from 0 to 4294967295, not a list"),
        ("min_scale: 10001", "min_scale", "want a whole number from 0 to 10000, not 10001"),
        ("need_http2: yes", "need_http2", "want true or false, not yes"),
        ("need_http2: 'true'", "need_http2", "want true or false, not the text \"true\""),
        ("container_image: {}", "container_image", "want text, not a mapping"),
        (
            "container_image: ''",
            "container_image",
            "want a reference of 1 to 2048 bytes without white space, not \"\"",
        ),
        (
            "cpu_request: 2, cpu_limit: 500m",
            "cpu_request",
            "cpu_request 2 is greater than cpu_limit 500m",
        ),
        (
            "memory_limit: 1 GB",
            "memory_limit",
            "want a Kubernetes quantity, for example 250m, 1.5, 128Mi or 2G, not \"1 GB\"",
        ),
    ] {
        check_invalid(&function(fields), &[&at(field, message)]);
    }
    let (package, _) =
        valid(&function("port: 0x50, min_scale: 0o17, need_http2: True, max_scale: ~"));
    let config = &package.functions[0].provision_config;
    assert_eq!((config.port, config.min_scale, config.need_http2), (Some(80), Some(15), true));
}

#[test]
fn null_is_left_out() {
    let (package, warnings) = valid(
        "{name: a, version: , metadata: ~, classes: null, functions: [{key: f, config: , function_type: ~}], deployments: }",
    );
    assert_eq!(package.version, None);
    assert_eq!(warnings, Vec::<String>::new());
    check_invalid("name:", &["/name: is missing"]);
    check_invalid(
        "name: a\nfunctions: [{key: ~}, null]",
        &["/functions/0/key: is missing", "/functions/1: want a mapping, not nothing (null)"],
    );
    check_invalid(
        "name: a\nlabels: {a: ~}",
        &["/labels/a: want text, not null: write \"\" for none"],
    );
}

#[test]
fn unknown_keys_are_warnings() {
    let parsed = yaml(
        "
name: a
kind: Package
colour: red
functons: []
classes:
  - { key: C, functionBindings: [], statespec: {}, status: x, state_spec: {keySpecs: []} }
deployments:
  - { class_key: C, status: {a: b}, condition: RUNNING, created_at: 1, updated_at: 2, meta: {}, target_env: [] }
status: { observed_generation: 1 }
meta: { uid: x }
",
    )
    .unwrap();
    let got: Vec<String> =
        parsed.warnings.iter().map(|v| format!("{}: {}", v.pointer, v.message)).collect();
    assert_eq!(
        got,
        [
            "/colour: the key \"colour\" is not known, and ignored",
            "/functons: the key \"functons\" is not known, and ignored; did you mean functions?",
            "/classes/0/functionBindings: the key \"functionBindings\" is not known, and ignored; did you mean function_bindings?",
            "/classes/0/statespec: the key \"statespec\" is not known, and ignored; did you mean state_spec?",
            "/classes/0/status: the key \"status\" is not known, and ignored",
            "/classes/0/state_spec/keySpecs: the key \"keySpecs\" is not known, and ignored; did you mean key_specs?",
            "/deployments/0/target_env: the key \"target_env\" is not known, and ignored; did you mean target_envs?",
        ]
    );
}

#[test]
fn tells_kinds_apart() {
    for (text, want) in [
        ("{name: a}", None),
        ("{name: a, version: 1, labels: {a: b}, metadata: {author: b}}", None),
        ("{kind: Package, name: a}", Some(Kind::Package)),
        ("{kind: ~, name: a, dependencies: [b]}", Some(Kind::Package)),
        ("{name: a, dependencies: {b: ^1}}", None),
        ("{kind: Service, name: a, classes: [{key: C}]}", None),
        ("{kind: Cluster, name: a}", None),
        ("{kind: [Package], name: a, classes: [{key: C}]}", None),
        ("{apiVersion: v2, name: a, classes: [{key: C}]}", None),
        ("{apiVersion: apps/v1, kind: Deployment, key: a, class_key: C}", None),
        ("{classes: []}", Some(Kind::Package)),
        ("{name: a, functions: [{key: f}], deployments: [{}]}", Some(Kind::Package)),
        ("{name: a, deployments: []}", Some(Kind::Package)),
        ("{name: a, deployments: [{}]}", Some(Kind::Deployments)),
        ("{name: a, classes: [], functions: ~, deployments: [{}]}", Some(Kind::Deployments)),
        ("{kind: Package, name: a, deployments: [{}]}", Some(Kind::Deployments)),
        ("{deployments: []}", Some(Kind::Deployments)),
        ("{key: a, class_key: C}", Some(Kind::Deployment)),
        ("{kind: Deployment, key: a}", Some(Kind::Deployment)),
        ("{name: a, role: viewer}", Some(Kind::RoleBinding)),
        ("{kind: RoleBinding, name: a}", Some(Kind::RoleBinding)),
        ("{name: a, role: viewer, classes: [{key: C}]}", Some(Kind::Package)),
        ("{kind: ConfigMap}", None),
        ("[1]", None),
        ("text", None),
    ] {
        assert_eq!(kind(&document(text.as_bytes(), Format::Yaml, &never).unwrap()), want, "{text}");
    }
}

/// A route knows which kind it takes: a document that says otherwise is refused there too.
#[test]
fn a_document_of_another_kind_is_refused_by_each_reader() {
    let package = |text: &str| super::package(text.as_bytes(), Format::Yaml).map(drop);
    let deployment = |text: &str| super::deployment(text.as_bytes(), Format::Yaml).map(drop);
    let binding = |text: &str| super::role_binding(text.as_bytes(), Format::Yaml).map(drop);
    let refused = |read: Result<(), Vec<Violation>>, at: &str| {
        let violations = read.unwrap_err();
        let pointers: Vec<&str> = violations.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, [at]);
    };
    refused(package("{kind: Service, name: a}"), "/kind");
    refused(package("{kind: Deployment, name: a}"), "/kind");
    refused(package("{apiVersion: v1, name: a}"), "/apiVersion");
    refused(deployment("{kind: Package, key: a, package_name: b, class_key: C}"), "/kind");
    refused(binding("{kind: Package, name: a, role: viewer}"), "/kind");
    assert_eq!(package("{name: a}"), Ok(()), "the route says what it is");
    assert_eq!(package("{kind: Package, name: a, deployments: [{class_key: C}]}"), Ok(()));
}

#[test]
fn a_list_of_deployments_is_not_a_package() {
    let parsed = yaml(
        "{name: shop, version: 1, deployments: [{class_key: A}, {package_name: b, class_key: B}]}",
    );
    let Parsed { value: PackageDocument::Deployments(list), warnings } = parsed.unwrap() else {
        panic!("a package");
    };
    let keys: Vec<&str> = list.iter().map(|deployment| deployment.key.as_str()).collect();
    assert_eq!(keys, ["shop.A", "b.B"]);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].pointer, "/version");
    check_invalid("deployments: [{class_key: A}]", &["/deployments/0/package_name: is missing"]);
    check_invalid("deployments: [{package_name: a}]", &["/deployments/0/class_key: is missing"]);
    check_invalid(
        "{name: a, deployments: [{class_key: A}, {class_key: A}]}",
        &["/deployments/1/key: \"a.A\" is already at /deployments/0"],
    );
}

#[test]
fn one_mistake_is_told_once() {
    check_invalid("classes: [{key: C}]\ndeployments: [{class_key: C}]", &["/name: is missing"]);
    check_invalid(
        "name: a\nclasses: [{key: C}]\ndeployments: [{}]",
        &["/deployments/0/class_key: is missing"],
    );
    check_invalid("name: a\nclasses: {}\n", &["/classes: want a list, not a mapping"]);
    check_invalid("just text", &[": want a mapping, not just text"]);
    check_invalid("[]", &[": want a mapping, not a list"]);
    let long = "k".repeat(200);
    check_invalid(
        &format!("name: {long}\nclasses: [{{key: {long}}}]\ndeployments: [{{class_key: {long}}}]"),
        &[&format!(
            "/deployments/0/key: \"{}\" is not a deployment key: want 1 to 253 of [A-Za-z0-9._-], beginning with a letter or digit",
            &long[..80]
        )],
    );
}

/// What a GET hands out can be pushed back as it is.
#[test]
fn takes_back_what_the_system_handed_out() {
    let (package, _) = valid(
        "
name: shop
classes: [{key: C}]
deployments: [{class_key: C, target_envs: [edge-1]}]",
    );
    let mut handed_out = serde_json::to_value(&package).unwrap();
    let fields = [("meta", json!({"uid": "x"})), ("status", json!({"conditions": []}))];
    for (field, value) in fields {
        handed_out[field] = value.clone();
        handed_out["deployments"][0][field] = value;
    }
    let parsed = super::package(handed_out.to_string().as_bytes(), Format::Json).unwrap();
    assert_eq!(parsed, Parsed { value: PackageDocument::Package(package), warnings: Vec::new() });
}

#[test]
fn reads_one_deployment() {
    let parsed =
        deployment(b"{key: a, package_name: b, class_key: C, x: 1}", Format::Yaml).unwrap();
    assert_eq!(parsed.value.key.as_str(), "a");
    assert_eq!(parsed.warnings.len(), 1);
    let violations =
        deployment(b"{\"key\": 1, \"labels\": {\"\": \"\"}}", Format::Json).unwrap_err();
    let pointers: Vec<&str> = violations.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(pointers, ["/class_key", "/labels/", "/package_name"]);
}

#[test]
fn formats_by_media_type_and_extension() {
    for (media_type, want) in [
        ("application/json", Some(Format::Json)),
        ("Application/JSON; charset=utf-8", Some(Format::Json)),
        ("application/yaml", Some(Format::Yaml)),
        ("text/x-yaml ;x=y", Some(Format::Yaml)),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(Format::from_media_type(media_type), want, "{media_type}");
    }
    assert_eq!(Format::from_extension("YML"), Some(Format::Yaml));
    assert_eq!(Format::from_extension("md"), None);
}
