//! What kind of document a tree is, and what a document may leave out.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Node;
use crate::{
    deployment::OClassDeployment,
    names::{Key, PackageName},
    package::{OClass, OFunction, OPackage},
    pointer,
    problem::Violation,
};

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A package: classes, functions, perhaps deployments with them.
    Package,
    /// One deployment.
    Deployment,
    /// A list of deployments under `deployments`.
    Deployments,
    /// Who has a role.
    RoleBinding,
}

/// What `node` is: by its `kind` if it has one, else by its shape. None: neither says.
#[must_use]
pub fn kind(node: &Node) -> Option<Kind> {
    let has = |key| node.get(key).is_some_and(|node| !node.is_null());
    let holds = |key| has(key) && node.get(key) != Some(&Node::Sequence(Vec::new()));
    let is_list = !holds("classes") && !holds("functions");
    match node.get("kind").and_then(Node::as_text) {
        Some("Deployment" | "OClassDeployment") => return Some(Kind::Deployment),
        Some("Deployments" | "DeploymentList") => return Some(Kind::Deployments),
        Some("RoleBinding") => return Some(Kind::RoleBinding),
        // Without content it is not a package, whatever it calls itself.
        Some("Package" | "OPackage") if !is_list || !holds("deployments") => {
            return Some(Kind::Package);
        }
        Some(_) | None => {}
    }
    if has("class_key") {
        Some(Kind::Deployment)
    } else if is_list && (holds("deployments") || has("deployments") && !has("name")) {
        Some(Kind::Deployments)
    } else if is_list && has("role") {
        Some(Kind::RoleBinding)
    } else if has("name") || has("classes") || has("functions") {
        Some(Kind::Package)
    } else {
        None
    }
}

/// Whether a mapping of `entries` is but a list of documents, as `kubectl` writes one.
pub(super) fn is_list(entries: &[(String, Node)]) -> bool {
    let has = |name: &str| entries.iter().any(|(key, node)| key == name && !node.is_null());
    let items = entries.iter().find(|(key, _)| key == "items");
    items.is_some_and(|(_, items)| matches!(items, Node::Sequence(_)))
        && !has("name")
        && !has("key")
        && !has("class_key")
}

/// A document that is a list of deployments. The rest of a package's fields say nothing here.
#[derive(Deserialize)]
pub(super) struct Deployments {
    pub(super) deployments: Vec<OClassDeployment>,
    // Read before, for `complete_inline`; here so that they count as known.
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "package_name")]
    _package_name: Option<String>,
    // Empty, or this would be a package.
    #[serde(default, rename = "classes")]
    _classes: Vec<OClass>,
    #[serde(default, rename = "functions")]
    _functions: Vec<OFunction>,
}

/// Gives each deployment of a document what it may leave out: its package, which is `package`, and
/// its key, which is `{package}.{class_key}`.
///
/// Returns the places for which there was nothing valid to fill in; they hold a stand-in, and the
/// mistake is told where it was made.
pub(super) fn complete_inline(document: &mut Node, package: Option<&str>) -> Vec<String> {
    let Node::Mapping(entries) = document else {
        return Vec::new();
    };
    let list = entries.iter_mut().find(|(key, _)| key == "deployments").map(|(_, node)| node);
    let Some(Node::Sequence(deployments)) = list else {
        return Vec::new();
    };
    let mut stand_ins = Vec::new();
    for (index, deployment) in deployments.iter_mut().enumerate() {
        let at = pointer::index("/deployments", index);
        let mut fill = |deployment: &mut Node, field: &str, text: Option<String>| {
            if text.is_none() {
                stand_ins.push(pointer::key(&at, field));
            }
            set(deployment, field, text.unwrap_or_else(|| format!("not-given-{index}")));
        };
        if let (true, Some(package)) = (lacks(deployment, "package_name"), package) {
            let valid = package.parse::<PackageName>().is_ok().then(|| package.to_owned());
            fill(deployment, "package_name", valid);
        }
        if lacks(deployment, "key") {
            let part = |field| deployment.get(field).and_then(Node::as_text);
            let package = part("package_name").filter(|name| name.parse::<PackageName>().is_ok());
            let class = part("class_key").filter(|class| class.parse::<Key>().is_ok());
            let key = package.zip(class).map(|(package, class)| format!("{package}.{class}"));
            fill(deployment, "key", key);
        }
    }
    stand_ins
}

/// Makes the deployments of `package` whose package is a stand-in its own: where its name is not
/// valid, the stand-in that its own name became is another one.
pub(super) fn adopt(package: &mut OPackage, stand_ins: &[String]) {
    let stand_ins: BTreeSet<&str> = stand_ins.iter().map(String::as_str).collect();
    for (index, deployment) in package.deployments.iter_mut().enumerate() {
        let at = pointer::key(&pointer::index("/deployments", index), "package_name");
        if stand_ins.contains(at.as_str()) {
            deployment.package_name = package.name.clone();
        }
    }
}

/// Whether `node` is a mapping in which nothing is written for `field`.
fn lacks(node: &Node, field: &str) -> bool {
    matches!(node, Node::Mapping(_)) && node.get(field).is_none_or(Node::is_null)
}

fn set(node: &mut Node, field: &str, text: String) {
    if let Node::Mapping(entries) = node {
        entries.retain(|(key, _)| key != field);
        entries.push((field.to_owned(), Node::quoted(text)));
    }
}

/// Fields that the system adds to what it hands out. Whoever sends a document back that he got
/// need not take them out first.
const SYSTEM_FIELDS: &[&str] = &[
    "api_version",
    "condition",
    "created_at",
    "kind",
    "meta",
    "resource_version",
    "status",
    "updated_at",
];

/// `unknown` without the system's fields of the document and of its inline deployments.
pub(super) fn without_system_fields(mut unknown: Vec<Violation>) -> Vec<Violation> {
    unknown.retain(|violation| {
        let mut steps = violation.pointer.split('/').skip(1);
        let field = match (steps.next(), steps.next(), steps.next(), steps.next()) {
            (Some(field), None, None, None) => field,
            (Some("deployments"), Some(_), Some(field), None) => field,
            _ => return true,
        };
        !SYSTEM_FIELDS.contains(&field)
    });
    unknown
}

/// `unknown` of a list of deployments, with what is a package's field told as such.
pub(super) fn without_package_fields(mut unknown: Vec<Violation>) -> Vec<Violation> {
    for violation in &mut unknown {
        let field = violation.pointer.trim_start_matches('/');
        if matches!(field, "version" | "metadata" | "dependencies" | "labels") {
            violation.message =
                "ignored: with deployments and neither classes nor functions, this \
                                 is a list of deployments, not a package"
                    .to_owned();
        }
    }
    unknown
}
