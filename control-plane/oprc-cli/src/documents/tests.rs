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

/// Files of other systems that lie in the same folder do not become packages.
#[test]
fn documents_of_other_systems_are_refused() {
    let shapeless = "standard input: neither a package (classes, functions), nor a deployment \
                     (class_key), nor a role binding (role): a package without content has to say \
                     `kind: Package`";
    for text in [
        "{name: CI, on: [push], jobs: {build: {runs-on: linux}}}",
        "{name: web, version: 1.0.0, scripts: {}, dependencies: {left-pad: ^1}}",
        "{name: web, version: '3', services: {}}",
    ] {
        check(text, &[shapeless]);
    }
    let of = |pointer: &str, message: &str| format!("standard input: {pointer}: {message}");
    for (text, pointer, message) in [
        (
            "{kind: Service, name: web, classes: [{key: C}]}",
            "/kind",
            "\"Service\" is not a kind of document: want Package, Deployment, Deployments or \
             RoleBinding",
        ),
        (
            "{kind: deployment, key: k, package_name: p, class_key: C}",
            "/kind",
            "\"deployment\" is not a kind of document: want Package, Deployment, Deployments or \
             RoleBinding; did you mean Deployment?",
        ),
        (
            "{apiVersion: apps/v1, kind: Deployment, key: k, package_name: p, class_key: C}",
            "/apiVersion",
            "documents of oprc have no apiVersion, but this has \"apps/v1\": is it meant for another \
             system?",
        ),
    ] {
        check(text, &[&of(pointer, message)]);
    }
    check("{kind: Package, name: empty}", &["package/empty"]);
    check("{kind: List, items: [{name: p, dependencies: [q]}]}", &["package/p"]);
    check(
        "{kind: ServiceList, items: []}",
        &[&of(
            "/kind",
            "\"ServiceList\" is not a kind of document: want Package, Deployment, Deployments or \
         RoleBinding",
        )],
    );
}
