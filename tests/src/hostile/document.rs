//! Documents in YAML and JSON.

use std::fmt::Debug;

use oprc_models::{
    document::{self, Format, PackageDocument},
    problem::Violation,
};
use serde::Serialize;

use super::choose;

/// Reads the bytes as every kind of document, in the format that the first of them chooses. What is
/// refused is refused with reasons; what is accepted is the same when it is written and read again.
pub fn document(input: &[u8]) {
    let (choice, bytes) = choose(input, 2);
    let format = if choice == 0 { Format::Yaml } else { Format::Json };
    match document::package(bytes, format) {
        Ok(parsed) => {
            let again = |text: &[u8]| document::package(text, Format::Json);
            match &parsed.value {
                PackageDocument::Package(package) => check(package, |text| {
                    again(text).map(|parsed| match parsed.value {
                        PackageDocument::Package(package) => package,
                        PackageDocument::Deployments(_) => panic!("a package became a list"),
                    })
                }),
                PackageDocument::Deployments(list) => {
                    for deployment in list {
                        check(deployment, |text| {
                            document::deployment(text, Format::Json).map(|parsed| parsed.value)
                        });
                    }
                }
            }
        }
        Err(reasons) => told(&reasons),
    }
    match document::deployment(bytes, format) {
        Ok(parsed) => check(&parsed.value, |text| {
            document::deployment(text, Format::Json).map(|parsed| parsed.value)
        }),
        Err(reasons) => told(&reasons),
    }
    if let Err(reasons) = document::documents(bytes, format) {
        told(&reasons);
    }
}

fn told(reasons: &[Violation]) {
    assert!(!reasons.is_empty(), "refused without a reason");
    assert!(reasons.iter().all(|reason| !reason.message.is_empty()), "a reason without words");
}

/// Writing and reading `value` again gives the same.
fn check<T: Serialize + PartialEq + Debug>(
    value: &T,
    read: impl Fn(&[u8]) -> Result<T, Vec<Violation>>,
) {
    let text = serde_json::to_vec(value).expect("what was read can be written");
    let again = read(&text).unwrap_or_else(|reasons| panic!("accepted, then refused: {reasons:?}"));
    assert_eq!(*value, again, "reading it again makes another of it");
}
