use std::path::PathBuf;

use super::*;

/// The subjects of the documents of standard input, or the mistakes.
fn check(text: &str, want: &[&str]) {
    let files = Files { files: vec![PathBuf::from("-")], ..Files::default() };
    let got: Vec<String> = match load(&files, &mut text.as_bytes()) {
        Ok(documents) => documents.iter().map(Document::subject).collect(),
        Err(Error::Documents(mistakes)) => mistakes,
        Err(err) => vec![err.to_string()],
    };
    assert_eq!(got, want, "{text}");
}

#[test]
fn splits_and_sorts() {
    let one = "{key: k, package_name: p, class_key: C}";
    check(one, &["deployment/k"]);
    check(&format!("{one}\n---\nname: p\nclasses: [{{key: C}}]"), &["package/p", "deployment/k"]);
    check("deployments: [{package_name: p, class_key: C}]", &["deployment/p.C"]);
    check(&format!("items: [{one}]"), &["deployment/k"]);
    check("", &["there is no document in these files"]);
}

#[test]
fn tells_where_a_mistake_is() {
    let one = "{key: k, package_name: p, class_key: C}";
    check(
        &format!("{one}\n---\n{one}"),
        &["standard input #2: deployment/k is declared in standard input #1 too"],
    );
    check(
        "{name: p, classes: [{key: C}], deployments: [{class_key: C}]}\n---\n\
         {key: p.C, package_name: p, class_key: C}",
        &["standard input #2: deployment/p.C is declared in standard input #1 too"],
    );
}
