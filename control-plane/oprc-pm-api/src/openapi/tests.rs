//! Whether the description is true: of itself, of the client, and (see [`check_answer`]) of every
//! answer that the tests of this crate get.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use http::{HeaderMap, Method, StatusCode, header};
use jsonschema::Validator;
use oprc_client::OPERATIONS;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| description(&crate::router::routes().into_described()));

/// Every operation: its path, method and object.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DESCRIPTION["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Every route: its path and method.
pub(crate) fn routed() -> BTreeSet<(String, String)> {
    operations().map(|(path, method, _)| (path.to_owned(), method.to_uppercase())).collect()
}

fn operation(id: &str) -> Option<(&'static str, &'static str, &'static Value)> {
    operations().find(|(_, _, operation)| operation["operationId"] == id)
}

/// A schema of the description, with what it refers to. Kept: most are used again and again.
fn validator(schema: &Value) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let make = || {
        let mut schema = schema.clone();
        schema["components"] = DESCRIPTION["components"].clone();
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    };
    Arc::clone(MADE.lock().entry(schema.to_string()).or_insert_with(make))
}

#[track_caller]
fn assert_valid(what: impl Fn() -> String, schema: &Value, value: &Value) {
    let validator = validator(schema);
    if validator.is_valid(value) {
        return;
    }
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    panic!("{}: {errors:#?}\n{value:#}", what());
}

#[test]
fn every_example_is_as_its_schema_says() {
    let mut n_examples = 0;
    for (path, method, operation) in operations() {
        let bodies = operation.get("requestBody").into_iter();
        let responses = operation["responses"].as_object().unwrap();
        for holder in bodies.chain(responses.values()) {
            for content in holder["content"].as_object().into_iter().flat_map(|it| it.values()) {
                let named = content["examples"].as_object().into_iter().flat_map(|it| it.values());
                let named = named.map(|example| &example["value"]);
                for example in named.chain(content.get("example")) {
                    assert_valid(|| format!("{method} {path}"), &content["schema"], example);
                    n_examples += 1;
                }
            }
        }
        for parameter in operation["parameters"].as_array().unwrap() {
            if let Some(example) = parameter.get("example") {
                assert_valid(|| format!("{method} {path}"), &parameter["schema"], example);
            }
        }
    }
    assert!(n_examples > 300, "{n_examples} examples");
}

#[test]
fn the_description_hangs_together() {
    let ids: Vec<&str> =
        operations().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    let distinct: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "an operation's id is there twice: {ids:?}");
    let tags = DESCRIPTION["tags"].as_array().unwrap();
    for (path, method, operation) in operations() {
        let tag = &operation["tags"][0];
        assert!(tags.iter().any(|known| known["name"] == *tag), "{method} {path}: {tag}");
        let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters = operation["parameters"].as_array().unwrap();
        let described = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let described: Vec<&str> = described.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(in_path.collect::<Vec<_>>(), described, "{method} {path}");
        for response in operation["responses"].as_object().unwrap().values() {
            for link in response["links"].as_object().into_iter().flat_map(|it| it.values()) {
                let id = link["operationId"].as_str().unwrap();
                assert!(distinct.contains(id), "{method} {path} leads to {id}");
            }
        }
    }
    let text = DESCRIPTION.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(DESCRIPTION.pointer(pointer).is_some(), "{pointer}");
    }
}

/// Calls `look` with each schema in the description, and where it stands.
fn each_schema(at: &str, value: &Value, look: &mut dyn FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            look(at, members);
            // An example is no schema, whatever it looks like.
            let parts =
                members.iter().filter(|(name, _)| !matches!(name.as_str(), "example" | "examples"));
            parts.for_each(|(name, part)| each_schema(&format!("{at}/{name}"), part, look));
        }
        Value::Array(elements) => {
            for (n, element) in elements.iter().enumerate() {
                each_schema(&format!("{at}/{n}"), element, look);
            }
        }
        _ => {}
    }
}

/// The forms that generators of clients stumble over are not used.
#[test]
fn schemas_have_forms_that_client_generators_read() {
    let mut n_enums = 0;
    each_schema("", &DESCRIPTION, &mut |at, members| {
        let is_array = match &members.get("type") {
            Some(Value::String(only)) => only == "array",
            Some(Value::Array(types)) => types.iter().any(|name| name == "array"),
            _ => false,
        };
        assert!(!is_array || members.contains_key("items"), "{at}: an array without items");
        for word in ["oneOf", "anyOf"] {
            let options = members.get(word).and_then(Value::as_array).into_iter().flatten();
            let n_constants = options.filter(|option| option.get("const").is_some()).count();
            assert_eq!(n_constants, 0, "{at}: {word} of constants");
        }
        if let Some(words) = members.get("enum").filter(|words| words.is_array()) {
            assert_eq!(members.get("type"), Some(&json!("string")), "{at}: {words}");
            n_enums += 1;
        }
    });
    assert!(n_enums > 20, "{n_enums} enumerations");
    for (path, method, operation) in operations() {
        for parameter in operation["parameters"].as_array().unwrap() {
            if parameter["in"] == "header" {
                assert_eq!(parameter["schema"], json!({ "type": "string" }), "{method} {path}");
            }
        }
    }
}

/// Generated clients have a class for each schema: its name is one of the domain.
#[test]
fn schemas_have_names_of_the_domain() {
    let names = DESCRIPTION["components"]["schemas"].as_object().unwrap().keys();
    let odd: Vec<&String> = names
        .clone()
        .filter(|name| {
            let begins_oddly =
                ["OPackage", "OClass", "OFunction", "The", "Told", "Stored", "Observed"]
                    .iter()
                    .any(|word| name.starts_with(word));
            let ends_oddly = ["Was", "Document", "Written", "Observed", "Told", "Of", "As"]
                .iter()
                .any(|word| name.ends_with(word) && *name != "PushedDocument");
            // A digit: two types have the same name.
            begins_oddly || ends_oddly || name.ends_with(|c: char| c.is_ascii_digit())
        })
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    for name in ["Package", "PackageInput", "Deployment", "DeploymentStatus", "Event", "Cluster"] {
        assert!(names.clone().any(|known| known == name), "{name}");
    }
}

/// Each operation that the client has is there, takes what the client sends, and is answered with
/// what the client reads.
#[test]
fn the_client_is_as_the_description_says() {
    for of_client in OPERATIONS {
        let id = of_client.id;
        let Some((path, method, described)) = operation(id) else {
            panic!("{id} is not described");
        };
        let want = (of_client.path, of_client.method.as_str().to_lowercase());
        assert_eq!((path, method.to_owned()), want, "{id}");
        assert_eq!(described.get("requestBody").is_some(), of_client.has_body, "{id}");
        let parameters = described["parameters"].as_array().unwrap();
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let in_query: BTreeSet<&str> = in_query.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(of_client.query.iter().copied().collect::<BTreeSet<_>>(), in_query, "{id}");
        for status in ["200", "201", "202"] {
            let content = &described["responses"][status]["content"]["application/json"];
            if let Some(example) = content.get("example") {
                let read = (of_client.reads)(example.to_string().as_bytes());
                assert!(read.is_ok(), "{id}, {status}: {read:?}\n{example:#}");
            }
        }
    }
}

/// The codes of the description, by status, and those that `docs/api.md` lists.
#[test]
fn every_code_is_in_the_documentation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md"));
    let page = page.unwrap();
    let mut listed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in page.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(status), Some(codes)) = (cells.next(), cells.next()) else { continue };
        if status.len() == 3 && status.parse::<u16>().is_ok() {
            let codes = codes.split(", ").map(|code| code.trim_matches('`'));
            listed.entry(status).or_default().extend(codes);
        }
    }
    let mut described: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, _, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let schema = &response["content"]["application/problem+json"]["schema"];
            let codes = schema["properties"]["code"]["enum"].as_array().into_iter().flatten();
            let codes: Vec<&str> = codes.map(|code| code.as_str().unwrap()).collect();
            described.entry(status).or_default().extend(codes);
        }
    }
    described.retain(|_, codes| !codes.is_empty());
    // Of what is no operation, nothing is described.
    described.entry("405").or_default().insert("method_not_allowed");
    assert_eq!(described, listed);
}

#[test]
fn the_page_tells_of_every_operation_and_runs_nothing() {
    let page = page::render(&DESCRIPTION);
    for (path, _, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<details id=\"{id}\"")), "{id}");
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for word in ["<script", "<link", "@import", "url(", " src=", "http://", "onload"] {
        let shown = page.split("<pre>").map(|part| part.rsplit("</pre>").next().unwrap());
        let n_found = shown.filter(|part| part.contains(word)).count();
        assert_eq!(n_found, 0, "{word}");
    }
    assert!(page::render(&json!({ "info": { "title": "<b>&" } })).contains("&lt;b&gt;&amp;"));
}

/// The largest answer that is held against its schema, in bytes: one with hundreds of items says no
/// more than one with some.
const MAX_CHECKED_BYTES: usize = 32 << 10;

/// Whether a segment of a described path takes a segment of a real one.
fn takes(described: &str, given: &str) -> bool {
    described.starts_with('{') || described == given
}

/// The path that describes `given`: where two do, the one with the fewer names.
fn describing(given: &str) -> Option<&'static str> {
    let paths = DESCRIPTION["paths"].as_object().unwrap().keys().map(String::as_str);
    let n_segments = given.split('/').count();
    let is_this = |path: &&str| {
        path.split('/').count() == n_segments
            && path.split('/').zip(given.split('/')).all(|(path, given)| takes(path, given))
    };
    paths.filter(is_this).min_by_key(|path| path.matches('{').count())
}

/// Holds an answer against the description. What is asked for and is no operation is not looked at.
#[track_caller]
pub(crate) fn check_answer(
    method: &Method,
    path: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) {
    let method = method.as_str().to_lowercase();
    let Some(described) = describing(path) else { return };
    let Some(operation) = DESCRIPTION["paths"][described].get(&method) else { return };
    let what = || format!("{method} {path}: {status}: {}", String::from_utf8_lossy(body));
    let response = operation["responses"].get(status.as_str());
    let response = response.unwrap_or_else(|| panic!("not described: {}", what()));
    let Some(media) = headers.get(header::CONTENT_TYPE) else {
        assert!(body.is_empty() && response.get("content").is_none(), "{}", what());
        return;
    };
    let media = media.to_str().unwrap().split(';').next().unwrap();
    let content = response["content"].get(media);
    let content = content.unwrap_or_else(|| panic!("{media} is not described: {}", what()));
    if media.ends_with("json") && body.len() <= MAX_CHECKED_BYTES {
        assert_valid(what, &content["schema"], &serde_json::from_slice(body).unwrap());
    }
}
