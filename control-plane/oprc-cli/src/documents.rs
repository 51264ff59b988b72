//! Files to documents: found, read, split, checked.
//!
//! Invariant: what [`load`] returns is valid, every file of it, and names nothing twice; so a
//! mistake in one file sends nothing of any.

mod files;
mod flow;

use std::{collections::BTreeMap, io::Read};

use oprc_models::{
    deployment::OClassDeployment,
    document::{self, Kind as Shape, Node, PackageDocument, Parsed},
    package::OPackage,
    problem::Violation,
    role::RoleBinding,
};

use crate::{args::Files, error::Error, kind::Kind, term::plain};

/// A document that can be sent.
#[derive(Debug)]
pub(crate) struct Document {
    /// Where it is from, for people: the file, and which document of it.
    pub(crate) origin: String,
    /// What it says.
    pub(crate) spec: Spec,
    /// As it is sent: all that was written, unknown fields too, for a server that may know more.
    pub(crate) body: String,
    /// What is to be said of it all the same.
    pub(crate) warnings: Vec<Violation>,
}

/// What a document says.
#[derive(Debug)]
pub(crate) enum Spec {
    Package(Box<OPackage>),
    Deployment(Box<OClassDeployment>),
    RoleBinding(RoleBinding),
}

impl Document {
    pub(crate) fn kind(&self) -> Kind {
        match self.spec {
            Spec::Package(_) => Kind::Package,
            Spec::Deployment(_) => Kind::Deployment,
            Spec::RoleBinding(_) => Kind::RoleBinding,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match &self.spec {
            Spec::Package(package) => package.name.as_str(),
            Spec::Deployment(deployment) => deployment.key.as_str(),
            Spec::RoleBinding(binding) => binding.name.as_str(),
        }
    }

    /// `package/shop`.
    pub(crate) fn subject(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// The deployments that it declares inline.
    pub(crate) fn inline(&self) -> &[OClassDeployment] {
        match &self.spec {
            Spec::Package(package) => &package.deployments,
            Spec::Deployment(_) | Spec::RoleBinding(_) => &[],
        }
    }
}

/// The documents of `files`, packages first.
///
/// # Errors
///
/// Every mistake of every file.
pub(crate) fn load(files: &Files, input: &mut dyn Read) -> Result<Vec<Document>, Error> {
    if files.files.is_empty() {
        return Err(Error::usage("which files? give -f FILE, -f DIR or -f -"));
    }
    let mut loading = Loading { is_strict: files.strict, ..Loading::default() };
    for source in files::find(&files.files, files.recursive)? {
        let bytes = source.read(input)?;
        match document::documents(&bytes, source.format()) {
            Ok(nodes) => loading.nodes(&source.name(), nodes),
            Err(violations) => loading.refuse(&source.name(), &violations),
        }
    }
    loading.refuse_twice();
    if !loading.mistakes.is_empty() {
        return Err(Error::Documents(loading.mistakes));
    }
    if loading.documents.is_empty() {
        return Err(Error::usage("there is no document in these files"));
    }
    loading.documents.sort_by_key(Document::kind); // Stable: the files' order is kept.
    Ok(loading.documents)
}

#[derive(Default)]
struct Loading {
    is_strict: bool,
    documents: Vec<Document>,
    mistakes: Vec<String>,
}

impl Loading {
    /// Takes the documents of one file. A list as `oprc get -o yaml` prints it is its items.
    fn nodes(&mut self, file: &str, nodes: Vec<Node>) {
        let n_nodes = nodes.len();
        for (i, node) in nodes.into_iter().enumerate() {
            let origin = if n_nodes == 1 { file.to_owned() } else { format!("{file} #{}", i + 1) };
            match node.get("items") {
                Some(Node::Sequence(items)) if document::is_list(&node) => {
                    for (i, item) in items.iter().enumerate() {
                        self.node(&format!("{origin} item {}", i + 1), item.clone());
                    }
                }
                _ => self.node(&origin, node),
            }
        }
    }

    fn node(&mut self, origin: &str, node: Node) {
        let taken = match document::recognize(&node) {
            Ok(Shape::Deployment) => deployment(node.clone()).map(|one| vec![one]),
            Ok(Shape::Package | Shape::Deployments) => package(node),
            Ok(Shape::RoleBinding) => role_binding(node).map(|one| vec![one]),
            Err(violation) => Err(vec![violation]),
        };
        match taken {
            Ok(taken) => self.take(origin, taken),
            Err(violations) => self.refuse(origin, &violations),
        }
    }

    fn take(&mut self, origin: &str, taken: Vec<Taken>) {
        for Taken { spec, body, warnings } in taken {
            if self.is_strict {
                self.refuse(origin, &warnings);
            }
            self.documents.push(Document { origin: origin.to_owned(), spec, body, warnings });
        }
    }

    fn refuse(&mut self, origin: &str, violations: &[Violation]) {
        let told = violations.iter().map(|violation| at(origin, violation));
        self.mistakes.extend(told);
    }

    /// A name declared twice has no answer to which is meant.
    fn refuse_twice(&mut self) {
        let mut first: BTreeMap<(Kind, &str), &str> = BTreeMap::new();
        for document in &self.documents {
            let inline = document.inline().iter().map(|one| (Kind::Deployment, one.key.as_str()));
            for (kind, name) in inline.chain([(document.kind(), document.name())]) {
                if let Some(other) = first.insert((kind, name), &document.origin) {
                    let message = format!("{kind}/{name} is declared in {other} too");
                    self.mistakes.push(at(&document.origin, &Violation::new("", message)));
                }
            }
        }
    }
}

/// One line for a violation: the file, the pointer, what is wrong.
pub(crate) fn at(origin: &str, violation: &Violation) -> String {
    let Violation { pointer, message } = violation;
    let at = if pointer.is_empty() { String::new() } else { format!("{pointer}: ") };
    plain(&format!("{origin}: {at}{message}")).into_owned()
}

struct Taken {
    spec: Spec,
    body: String,
    warnings: Vec<Violation>,
}

fn deployment(node: Node) -> Result<Taken, Vec<Violation>> {
    let body = flow::to_text(&node);
    let Parsed { value, warnings } = document::deployment_node(node)?;
    Ok(Taken { spec: Spec::Deployment(Box::new(value)), body, warnings })
}

fn role_binding(node: Node) -> Result<Taken, Vec<Violation>> {
    let body = flow::to_text(&node);
    let Parsed { value, warnings } = document::role_binding_node(node)?;
    Ok(Taken { spec: Spec::RoleBinding(value), body, warnings })
}

/// A package, or each deployment of a list of them.
fn package(node: Node) -> Result<Vec<Taken>, Vec<Violation>> {
    let body = flow::to_text(&node);
    let listed = node.get("deployments").map(|list| list.elements().to_vec()).unwrap_or_default();
    let Parsed { value, mut warnings } = document::package_node(node)?;
    let deployments = match value {
        PackageDocument::Package(package) => {
            return Ok(vec![Taken { spec: Spec::Package(Box::new(package)), body, warnings }]);
        }
        PackageDocument::Deployments(deployments) => deployments,
    };
    let taken = deployments.into_iter().zip(listed).map(|(deployment, node)| {
        let body = flow::to_text(&completed(node, &deployment));
        // The warnings speak of the whole list; the first one tells them.
        let warnings = std::mem::take(&mut warnings);
        Taken { spec: Spec::Deployment(Box::new(deployment)), body, warnings }
    });
    Ok(taken.collect())
}

/// `node` with what a list lets its deployments leave out.
fn completed(mut node: Node, deployment: &OClassDeployment) -> Node {
    if let Node::Mapping(entries) = &mut node {
        let known =
            [("key", deployment.key.as_str()), ("package_name", deployment.package_name.as_str())];
        let mut kept = std::mem::take(entries).into_vec();
        for (name, value) in known {
            kept.retain(|(key, _)| &**key != name);
            kept.push((name.into(), Node::quoted(value)));
        }
        *entries = kept.into();
    }
    node
}

#[cfg(test)]
mod tests;
