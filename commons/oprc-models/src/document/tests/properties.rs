//! What holds of any input.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

use super::super::*;

/// Text that is the same in JSON and, in quotes, in YAML: all but the control characters that YAML
/// has no business with.
fn text() -> impl Strategy<Value = String> {
    "[^\\p{Cc}\u{feff}]{0,12}"
}

fn word() -> impl Strategy<Value = String> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,8}"
}

fn settings() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map("[A-Z_]{1,6}", text(), 0..3)
}

fn provision() -> impl Strategy<Value = Value> {
    (1_u16.., 0_u32..9, 9_u32..20, any::<bool>(), option::of("[0-9]{1,3}(m|Mi|)")).prop_map(
        |(port, min, max, http2, cpu)| {
            json!({
                "container_image": "a:1", "port": port, "min_scale": min, "max_scale": max,
                "need_http2": http2, "cpu_request": cpu,
            })
        },
    )
}

/// A valid package, as JSON.
fn valid_package() -> impl Strategy<Value = Value> {
    let function = (provision(), settings(), option::of(text()));
    let parts = (
        word(),
        option::of("[0-9]\\.[0-9]{1,2}"),
        vec(function, 1..4),
        vec((any::<bool>(), option::of(0.0..=1.0), settings()), 0..4),
        text(),
    );
    parts.prop_map(|(name, version, functions, classes, description)| {
        let n_functions = functions.len();
        let functions = functions.into_iter().enumerate().map(|(i, (provision, config, text))| {
            json!({
                "key": format!("f.{i}"), "provision_config": provision, "config": config,
                "description": text,
            })
        });
        let bindings: Vec<Value> = (0..n_functions)
            .map(|i| json!({"name": format!("b{i}"), "function_key": format!("f.{i}")}))
            .collect();
        let n_classes = classes.len();
        let deployments = classes.iter().enumerate().map(|(i, (_, availability, labels))| {
            json!({
                "class_key": format!("C{i}"), "labels": labels,
                "nfr_requirements": {"availability": availability},
            })
        });
        json!({
            "name": name, "version": version,
            "metadata": {"description": description},
            "functions": functions.collect::<Vec<_>>(),
            "deployments": deployments.collect::<Vec<_>>(),
            "classes": (0..n_classes)
                .map(|i| json!({"key": format!("C{i}"), "function_bindings": bindings}))
                .collect::<Vec<_>>(),
        })
    })
}

/// Any JSON, numbers in the spelling that is kept.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn read(value: &Value, format: Format) -> Result<Parsed<PackageDocument>, Vec<Violation>> {
    package(value.to_string().as_bytes(), format)
}

/// Puts `other` somewhere into `value`, by walking `way`.
fn corrupt(value: &mut Value, way: &[usize], other: Value) {
    let Some((first, rest)) = way.split_first() else {
        *value = other;
        return;
    };
    let child = match value {
        Value::Array(elements) if !elements.is_empty() => {
            let n = elements.len();
            elements.get_mut(first % n)
        }
        Value::Object(entries) if !entries.is_empty() => {
            let n = entries.len();
            entries.values_mut().nth(first % n)
        }
        _ => None,
    };
    match child {
        Some(child) => corrupt(child, rest, other),
        None => *value = other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn never_panics_on_bytes(bytes in vec(any::<u8>(), 0..200)) {
        for format in [Format::Json, Format::Yaml] {
            let _ = package(&bytes, format);
            let _ = deployment(&bytes, format);
        }
    }

    #[test]
    fn never_panics_on_what_looks_like_a_document(
        text in "(name|classes|deployments|key|<<|a|1|\\.5|~|null|true|[-:?,\\[\\]{}&*!|>'\"%@` \n\t#]| |  |\n){0,60}",
    ) {
        for format in [Format::Json, Format::Yaml] {
            let _ = package(text.as_bytes(), format);
            let _ = documents(text.as_bytes(), format);
        }
    }

    /// A valid document reads the same from JSON and from YAML, and what it reads as, written and
    /// read again, is the same once more.
    #[test]
    fn reading_what_was_written_changes_nothing(value in valid_package()) {
        let parsed = read(&value, Format::Json).unwrap();
        prop_assert_eq!(&parsed.warnings, &[]);
        prop_assert_eq!(&Ok(parsed.clone()), &read(&value, Format::Yaml));
        let PackageDocument::Package(package) = &parsed.value else {
            return Err(TestCaseError::fail("not a package"));
        };
        let written = serde_json::to_value(package).unwrap();
        prop_assert_eq!(&Ok(parsed.clone()), &read(&written, Format::Json));
    }

    /// JSON is YAML.
    #[test]
    fn json_is_yaml(value in any_json()) {
        let text = value.to_string();
        let json = documents(text.as_bytes(), Format::Json).unwrap();
        prop_assert_eq!(json[0].to_json(), value);
        let yaml = documents(text.as_bytes(), Format::Yaml).unwrap();
        let is_null = json[0].is_null();
        prop_assert_eq!(if is_null { Vec::new() } else { json }, yaml);
    }

    /// Anything anywhere in a document: it reads, or is refused with a reason.
    #[test]
    fn a_corrupted_document_is_refused_with_a_reason(
        value in valid_package(),
        way in vec(any::<usize>(), 0..6),
        other in any_json(),
    ) {
        let mut value = value;
        corrupt(&mut value, &way, other);
        if let Err(violations) = read(&value, Format::Json) {
            prop_assert!(!violations.is_empty());
            for violation in violations {
                prop_assert!(!violation.message.contains("unreadable-"), "{violation:?}");
                prop_assert!(!violation.message.contains("not-given-"), "{violation:?}");
            }
        }
    }
}
