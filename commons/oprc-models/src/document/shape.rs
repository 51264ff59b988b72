//! What kind of document a tree is, and what a document may leave out.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Node, typed::MAX_ELEMENTS};
use crate::{
    deployment::OClassDeployment,
    names::{Key, PackageName},
    package::{OClass, OFunction, OPackage},
    pointer,
    problem::Violation,
    text::{Quoted, closest},
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

impl Kind {
    /// The kind as a document declares it.
    fn word(self) -> &'static str {
        match self {
            Self::Package => "Package",
            Self::Deployment => "Deployment",
            Self::Deployments => "Deployments",
            Self::RoleBinding => "RoleBinding",
        }
    }
}

/// Values of `kind` that documents may have, for messages.
const KIND_WORDS: [&str; 6] =
    ["Package", "OPackage", "Deployment", "OClassDeployment", "DeploymentList", "RoleBinding"];

/// Lists that make a document without a `kind` a package. A name, a version and labels do not: Helm
/// charts, npm packages and workflows of CI systems have those too.
const PACKAGE_LISTS: [&str; 4] = ["classes", "functions", "dependencies", "deployments"];

/// The kind of `node`: as it declares, else by its shape. `None` if neither tells.
#[must_use]
pub fn kind(node: &Node) -> Option<Kind> {
    recognize(node).ok()
}

/// As [`kind`].
///
/// # Errors
///
/// Why `node` is not a document of ours: a foreign `apiVersion`, an unknown `kind`, or none of the
/// fields by which documents are told apart.
pub fn recognize(node: &Node) -> Result<Kind, Violation> {
    let has = |key| node.get(key).is_some_and(|node| !node.is_null());
    let is_list = is_deployment_list(node);
    match declared(node)? {
        // Without content it is not a package, whatever it calls itself.
        Some(Kind::Package) if is_list && holds(node, "deployments") => Ok(Kind::Deployments),
        Some(kind) => Ok(kind),
        None if has("class_key") => Ok(Kind::Deployment),
        None if is_list && (holds(node, "deployments") || has("deployments") && !has("name")) => {
            Ok(Kind::Deployments)
        }
        None if is_list && has("role") => Ok(Kind::RoleBinding),
        None if PACKAGE_LISTS
            .iter()
            .any(|key| matches!(node.get(key), Some(Node::Sequence(_)))) =>
        {
            Ok(Kind::Package)
        }
        // Their types are wrong, which reading them reports.
        None if has("classes") || has("functions") => Ok(Kind::Package),
        None => Err(Violation::new(
            "",
            "neither a package (classes, functions), nor a deployment (class_key), nor a role \
             binding (role): a package without content has to say `kind: Package`",
        )),
    }
}

/// Whether `node` has no classes and no functions.
fn is_deployment_list(node: &Node) -> bool {
    !holds(node, "classes") && !holds(node, "functions")
}

/// Whether `node` has something other than null or an empty list under `key`.
fn holds(node: &Node, key: &str) -> bool {
    let found = node.get(key).filter(|node| !node.is_null());
    found.is_some_and(|node| *node != Node::Sequence(Box::default()))
}

/// The kind that `node` declares.
///
/// # Errors
///
/// A foreign `apiVersion`, or a `kind` that is not one of ours.
fn declared(node: &Node) -> Result<Option<Kind>, Violation> {
    let given = |key| node.get(key).filter(|node: &&Node| !node.is_null());
    if let Some(version) = given("apiVersion") {
        let message = format!(
            "documents of oprc have no apiVersion, but this has {}: is it meant for another system?",
            version.as_text().map_or_else(|| version.describe(), |text| Quoted(text).to_string())
        );
        return Err(Violation::new("/apiVersion", message));
    }
    let Some(kind) = given("kind") else { return Ok(None) };
    match kind.as_text() {
        Some("Package" | "OPackage") => Ok(Some(Kind::Package)),
        Some("Deployment" | "OClassDeployment") => Ok(Some(Kind::Deployment)),
        Some("Deployments" | "DeploymentList") => Ok(Some(Kind::Deployments)),
        Some("RoleBinding") => Ok(Some(Kind::RoleBinding)),
        text => {
            let hint = text
                .and_then(|text| closest(text, KIND_WORDS))
                .map(|close| format!("; did you mean {close}?"));
            let given = text.map_or_else(|| kind.describe(), |text| Quoted(text).to_string());
            let message = format!(
                "{given} is not a kind of document: want Package, Deployment, Deployments or \
                 RoleBinding{}",
                hint.unwrap_or_default()
            );
            Err(Violation::new("/kind", message))
        }
    }
}

/// Refuses a `node` that declares another kind than the `wanted`, which its reader knows.
pub(super) fn expect(node: &Node, wanted: &[Kind]) -> Result<(), Vec<Violation>> {
    match declared(node) {
        Ok(Some(kind)) if !wanted.contains(&kind) => {
            let want: Vec<&str> = wanted.iter().map(|kind| kind.word()).collect();
            let message = format!("want {} here, not {}", want.join(" or "), kind.word());
            Err(vec![Violation::new("/kind", message)])
        }
        Ok(_) => Ok(()),
        Err(violation) => Err(vec![violation]),
    }
}

/// Whether `node` is only a list of documents, as `kubectl` and `oprc get -o yaml` write one.
#[must_use]
pub fn is_list(node: &Node) -> bool {
    let has = |name: &str| node.get(name).is_some_and(|node| !node.is_null());
    let kind = node.get("kind").filter(|kind| !kind.is_null());
    matches!(node.get("items"), Some(Node::Sequence(_)))
        && kind.is_none_or(|kind| kind.as_text() == Some("List"))
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
    let list = entries.iter_mut().find(|(key, _)| &**key == "deployments").map(|(_, node)| node);
    let Some(Node::Sequence(deployments)) = list else {
        return Vec::new();
    };
    if deployments.len() > MAX_ELEMENTS {
        // Reading refuses the list for its length.
        return Vec::new();
    }
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
        let mut kept = std::mem::take(entries).into_vec();
        kept.retain(|(key, _)| &**key != field);
        kept.push((field.into(), Node::quoted(text)));
        *entries = kept.into();
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

/// Warnings for flags and counts of overrides that are written out at their default: an override
/// cannot take away what the function has. Once read, they look as if they had been left out.
pub(super) fn idle_overrides(document: &Node) -> Vec<Violation> {
    let mut warnings = Vec::new();
    let mut look = |at: &str, deployment: &Node| {
        let functions = deployment.get("functions").map(Node::elements).unwrap_or_default();
        for (index, function) in functions.iter().enumerate() {
            let Some(config) = function.get("provision_config") else { continue };
            for (field, idle) in [("need_http2", "false"), ("max_concurrency", "0")] {
                let given = config.get(field).and_then(Node::as_text);
                if given.is_some_and(|text| text.eq_ignore_ascii_case(idle)) {
                    let at = pointer::index(&pointer::key(at, "functions"), index);
                    let at = pointer::key(&pointer::key(&at, "provision_config"), field);
                    let message =
                        format!("has no effect: {idle} does not override what the function says");
                    warnings.push(Violation::new(at, message));
                }
            }
        }
    };
    if document.get("class_key").is_some() {
        look("", document);
    }
    let deployments = document.get("deployments").map(Node::elements).unwrap_or_default();
    for (index, deployment) in deployments.iter().enumerate() {
        look(&pointer::index("/deployments", index), deployment);
    }
    warnings
}

/// The stored document that an edited one was read from, as the system's `meta` in it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAs {
    /// The store's revision of its last write.
    pub resource_version: u64,
    /// Its generation.
    pub generation: Option<u64>,
    /// Its incarnation.
    pub uid: Option<String>,
}

/// What `node` was read as; `None` if it does not say.
#[must_use]
pub fn read_as(node: &Node) -> Option<ReadAs> {
    let meta = node.get("meta")?;
    let text = |name| meta.get(name).and_then(Node::as_text);
    Some(ReadAs {
        resource_version: text("resource_version")?.parse().ok()?,
        generation: text("generation").and_then(|text| text.parse().ok()),
        uid: text("uid").map(str::to_owned),
    })
}
