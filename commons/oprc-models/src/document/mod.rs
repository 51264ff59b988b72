//! From the bytes that people send to documents that are complete and valid.
//!
//! JSON and YAML both become a [`Node`], a tree that keeps the text of every scalar; types are
//! read from that tree, then validated. So both formats follow the same rules, and `version: 1.0`
//! stays `1.0`.
//!
//! Invariants:
//! - what is returned as [`Parsed`] passed every rule of [`crate::validate`];
//! - an error is every violation that was found, up to [`MAX_VIOLATIONS`], each with its pointer;
//! - no input makes it panic, recurse without bound, or take memory out of proportion.

mod budget;
mod json;
mod mend;
mod node;
mod scalar;
mod shape;
mod typed;
mod yaml;

#[cfg(test)]
mod tests;

use self::budget::Budget;
use crate::{
    deployment::OClassDeployment,
    package::OPackage,
    pointer,
    problem::Violation,
    role::RoleBinding,
    validate::{self, MAX_VIOLATIONS},
};

pub use node::{MAX_DEPTH, Node, Scalar, Style};
pub use shape::{Kind, ReadAs, is_list, kind, read_as, recognize};

/// The largest document, in bytes; the API's limit for a body.
pub const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// The largest stream of documents, in bytes, that is read at once.
pub const MAX_STREAM_BYTES: usize = 16 << 20;

/// The most values of one document. A document of [`MAX_DOCUMENT_BYTES`] can hold more only if it
/// is nothing but the smallest possible values; a valid one holds some 100,000 at most.
pub const MAX_NODES: usize = 250_000;

/// The most values of all documents of one push: 200 for each of 5,000. A value takes about a
/// hundred bytes of memory until its document is read.
pub const MAX_PUSHED_NODES: usize = 1_000_000;

/// What the bytes of a document are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON (RFC 8259).
    Json,
    /// YAML 1.2.
    Yaml,
}

impl Format {
    /// The format of a `Content-Type`, parameters and case aside.
    #[must_use]
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
                Some(Self::Yaml)
            }
            _ => None,
        }
    }

    /// The format of a file with this extension (without the dot).
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// A valid value, and what is to be said of it all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The value.
    pub value: T,
    /// Keys that are not known, for example. Under `?strict=true` these are violations.
    pub warnings: Vec<Violation>,
}

/// What a push of a package may hold.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, and it is taken apart at once"
)]
pub enum PackageDocument {
    /// A package, with its inline deployments complete: each has its key and its package.
    Package(OPackage),
    /// Deployments and neither classes nor functions: a list of deployments, never a package that
    /// replaces the real one.
    Deployments(Vec<OClassDeployment>),
}

/// Answers the question of a reader whether its caller has cancelled it: it never has.
#[must_use]
pub fn never() -> bool {
    false
}

/// Every document in `bytes`: one of JSON, any number of YAML. Documents without content are left
/// out.
///
/// # Errors
///
/// Why it is not such a text, with line and column, or with the pointer to a key that is there
/// twice.
pub fn documents(bytes: &[u8], format: Format) -> Result<Vec<Node>, Vec<Violation>> {
    let max_nodes = match format {
        Format::Json => MAX_NODES,
        // Each document has its own limit.
        Format::Yaml => usize::MAX,
    };
    read(bytes, format, Most { nodes: max_nodes, documents: usize::MAX }, &never)
}

/// The most values and documents of one text.
#[derive(Clone, Copy)]
struct Most {
    nodes: usize,
    documents: usize,
}

fn read(
    bytes: &[u8],
    format: Format,
    most: Most,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Node>, Vec<Violation>> {
    let refused = |message: String| vec![Violation::new("", message)];
    if bytes.len() > MAX_STREAM_BYTES {
        let n_bytes = bytes.len();
        return Err(refused(format!("{n_bytes} bytes: want at most {MAX_STREAM_BYTES}")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        refused(format!("not UTF-8 text: byte {} (line {line})", error.valid_up_to()))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let budget = Budget::new(text.len(), is_cancelled);
    match format {
        Format::Json => json::read(text, most.nodes, budget).map(|node| vec![node]).map_err(capped),
        Format::Yaml => yaml::read(text, most, budget).map_err(capped),
    }
}

/// Every document of a push of many: of a stream, a list, or the `items` of an object, and of any
/// mixture of them, in the order in which they stand. Stops early when `is_cancelled` says so.
///
/// # Errors
///
/// As [`documents`]; also when there are more than `max_documents`, or more than
/// [`MAX_PUSHED_NODES`] values in all of them, or when it was cancelled.
pub fn pushed(
    bytes: &[u8],
    format: Format,
    max_documents: usize,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Node>, Vec<Violation>> {
    let most = Most { nodes: MAX_PUSHED_NODES, documents: max_documents };
    let mut flat = Vec::new();
    for node in read(bytes, format, most, is_cancelled)? {
        if is_list(&node) {
            let Node::Mapping(entries) = node else { continue };
            for (key, items) in entries {
                if let (true, Node::Sequence(elements)) = (&*key == "items", items) {
                    flat.extend(elements);
                }
            }
            continue;
        }
        match node {
            Node::Sequence(elements) => flat.extend(elements),
            node @ (Node::Null | Node::Scalar(_) | Node::Mapping(_)) => flat.push(node),
        }
    }
    if flat.len() > max_documents {
        let message = format!("{} documents: want at most {max_documents}", flat.len());
        return Err(vec![Violation::new("", message)]);
    }
    Ok(flat)
}

/// The one document in `bytes`. Stops early when `is_cancelled` says so.
///
/// # Errors
///
/// As [`documents`]; also when there is none, or more than one, or when it was cancelled.
pub fn document(
    bytes: &[u8],
    format: Format,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Node, Vec<Violation>> {
    let most = Most { nodes: MAX_NODES, documents: usize::MAX };
    let mut documents = read(bytes, format, most, is_cancelled)?.into_iter();
    match (documents.next(), documents.len()) {
        (Some(node), 0) => Ok(node),
        (None, _) => Err(vec![Violation::new("", "no document: want one")]),
        (Some(_), more) => {
            let message = format!("{} documents: want one", more + 1);
            Err(vec![Violation::new("", message)])
        }
    }
}

/// Reads and validates a package, or a list of deployments, see [`PackageDocument`].
///
/// # Errors
///
/// Every violation.
pub fn package(bytes: &[u8], format: Format) -> Result<Parsed<PackageDocument>, Vec<Violation>> {
    package_node(document(bytes, format, &never)?)
}

/// As [`package`], from a tree.
///
/// # Errors
///
/// Every violation.
pub fn package_node(mut node: Node) -> Result<Parsed<PackageDocument>, Vec<Violation>> {
    shape::expect(&node, &[Kind::Package, Kind::Deployments])?;
    if kind(&node) == Some(Kind::Deployments) {
        let Parsed { value, warnings } = deployments_node(node)?;
        return Ok(Parsed { value: PackageDocument::Deployments(value), warnings });
    }
    let idle = shape::idle_overrides(&node);
    let name = node.get("name").and_then(Node::as_text).unwrap_or_default().to_owned();
    let filled = shape::complete_inline(&mut node, Some(&name));
    let mut reading = mend::read::<OPackage>(node, filled.clone());
    if let Some(package) = &mut reading.value {
        shape::adopt(package, &filled);
    }
    let found = reading.value.as_ref().map(validate::package);
    reading.add(found.unwrap_or_default());
    let mut warnings = shape::without_system_fields(std::mem::take(&mut reading.unknown));
    if let (true, Some(package)) = (reading.violations.is_empty(), &reading.value) {
        warnings.extend(validate::package_advice(package));
    }
    warnings.extend(idle);
    finish(reading, PackageDocument::Package, warnings)
}

/// Reads and validates a list of deployments: `deployments`, and `name` or `package_name` for
/// those that do not say their package.
///
/// # Errors
///
/// Every violation.
pub fn deployments_node(mut node: Node) -> Result<Parsed<Vec<OClassDeployment>>, Vec<Violation>> {
    let idle = shape::idle_overrides(&node);
    let outer = node.get("name").or_else(|| node.get("package_name"));
    let outer = outer.and_then(Node::as_text).map(str::to_owned);
    let filled = shape::complete_inline(&mut node, outer.as_deref());
    let mut reading = mend::read::<shape::Deployments>(node, filled);
    let found = reading.value.as_ref().map(|list| validate::deployments(&list.deployments));
    reading.add(found.unwrap_or_default());
    let unknown = shape::without_system_fields(std::mem::take(&mut reading.unknown));
    let mut warnings = shape::without_package_fields(unknown);
    if let (true, Some(list)) = (reading.violations.is_empty(), &reading.value) {
        warnings.extend(validate::deployments_advice(&list.deployments));
    }
    warnings.extend(idle);
    finish(reading, |list| list.deployments, warnings)
}

/// Reads and validates one deployment.
///
/// # Errors
///
/// Every violation.
pub fn deployment(
    bytes: &[u8],
    format: Format,
) -> Result<Parsed<OClassDeployment>, Vec<Violation>> {
    deployment_node(document(bytes, format, &never)?)
}

/// As [`deployment`], from a tree.
///
/// # Errors
///
/// Every violation.
pub fn deployment_node(node: Node) -> Result<Parsed<OClassDeployment>, Vec<Violation>> {
    shape::expect(&node, &[Kind::Deployment])?;
    let idle = shape::idle_overrides(&node);
    let mut reading = mend::read::<OClassDeployment>(node, Vec::new());
    let found = reading.value.as_ref().map(validate::deployment);
    reading.add(found.unwrap_or_default());
    let mut warnings = shape::without_system_fields(std::mem::take(&mut reading.unknown));
    if let (true, Some(deployment)) = (reading.violations.is_empty(), &reading.value) {
        warnings.extend(validate::deployment_advice(deployment));
    }
    warnings.extend(idle);
    finish(reading, |deployment| deployment, warnings)
}

/// Reads and validates a role binding.
///
/// # Errors
///
/// Every violation.
pub fn role_binding(bytes: &[u8], format: Format) -> Result<Parsed<RoleBinding>, Vec<Violation>> {
    role_binding_node(document(bytes, format, &never)?)
}

/// As [`role_binding`], from a tree.
///
/// # Errors
///
/// Every violation.
pub fn role_binding_node(node: Node) -> Result<Parsed<RoleBinding>, Vec<Violation>> {
    shape::expect(&node, &[Kind::RoleBinding])?;
    let mut reading = mend::read::<RoleBinding>(node, Vec::new());
    let found = reading.value.as_ref().map(validate::role_binding);
    reading.add(found.unwrap_or_default());
    let warnings = shape::without_system_fields(std::mem::take(&mut reading.unknown));
    finish(reading, |binding| binding, warnings)
}

fn finish<T, U>(
    reading: mend::Reading<T>,
    into: impl FnOnce(T) -> U,
    warnings: Vec<Violation>,
) -> Result<Parsed<U>, Vec<Violation>> {
    match reading.value {
        Some(value) if reading.violations.is_empty() => {
            Ok(Parsed { value: into(value), warnings: capped(warnings) })
        }
        Some(_) | None => Err(capped(in_order(reading.violations))),
    }
}

/// By place, the elements of a list by number; each violation once.
fn in_order(mut violations: Vec<Violation>) -> Vec<Violation> {
    violations.sort_by_cached_key(|violation| {
        let steps = violation.pointer.split('/');
        let steps = steps.map(|step| (step.parse::<usize>().ok(), step.to_owned()));
        (steps.collect::<Vec<_>>(), violation.message.clone())
    });
    violations.dedup();
    violations
}

/// The first [`MAX_VIOLATIONS`], and whether there are more: who collects them stops a little later.
fn capped(mut violations: Vec<Violation>) -> Vec<Violation> {
    if violations.len() > MAX_VIOLATIONS {
        violations.truncate(MAX_VIOLATIONS);
        violations.push(Violation::new("", "and more"));
    }
    violations
}

/// A violation for each key that `entries` have more than once. `parent` tells where they are; it
/// is called only if there is one, because a pointer may be long.
fn duplicate_keys(entries: &[(Box<str>, Node)], parent: impl FnOnce() -> String) -> Vec<Violation> {
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    let mut twice: Vec<&str> =
        keys.windows(2).filter_map(|pair| (pair[0] == pair[1]).then_some(pair[0])).collect();
    twice.dedup();
    if twice.is_empty() {
        return Vec::new();
    }
    let parent = parent();
    let violation =
        |key| Violation::new(pointer::key(&parent, key), "this key is given more than once");
    twice.into_iter().take(MAX_VIOLATIONS).map(violation).collect()
}
