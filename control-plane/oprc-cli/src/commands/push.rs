//! All packages and deployments in one push, which takes effect whole or not at all; and what `oprc
//! diff` asks the server beyond the documents: what would be pruned, and what clusters would do.

use std::collections::{BTreeMap, BTreeSet};

use oprc_client::{Client, Error as Failure};
use oprc_models::problem::Violation;
use serde::Deserialize;

use super::follow::Followed;
use crate::{
    Io,
    args::BundleArgs,
    documents::{self, Document},
    error::Error,
    kind::Kind,
    term::{Colour, Out, plain},
};

/// Names that are shown of what one cluster would do with its units.
const MAX_NAMES: usize = 20;

/// The server's answer, as much as is shown of it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Told {
    items: Vec<Item>,
    #[serde(default)]
    warnings: Vec<Violation>,
    #[serde(default)]
    clusters: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

#[derive(Debug, Deserialize)]
struct Item {
    kind: String,
    name: String,
    outcome: String,
    generation: u64,
    at: Option<String>,
}

impl Item {
    fn subject(&self) -> String {
        plain(&format!("{}/{}", self.kind.to_lowercase(), self.name)).into()
    }

    /// As it is told.
    fn verdict(&self) -> &str {
        if self.outcome == "replaced" { "configured" } else { &self.outcome }
    }
}

impl Told {
    /// Whether the push changes something.
    pub(super) fn is_different(&self) -> bool {
        self.items.iter().any(|item| item.outcome != "unchanged")
    }

    /// What is deleted.
    pub(super) fn leaving(&self) -> Vec<(Kind, String)> {
        let deleted = self.items.iter().filter(|item| item.outcome == "deleted");
        deleted.filter_map(|item| Some((item.kind.parse().ok()?, item.name.clone()))).collect()
    }

    /// What would be deleted that no document speaks of.
    pub(super) fn pruned(&self) -> impl Iterator<Item = String> {
        self.items.iter().filter(|item| item.at.is_none()).map(Item::subject)
    }

    /// Tells what the clusters would do.
    pub(super) fn tell_clusters(&self, out: &mut Out<'_>) {
        for (cluster, changes) in &self.clusters {
            for (what, colour) in
                [("created", Colour::Green), ("replaced", Colour::Yellow), ("removed", Colour::Red)]
            {
                let names = changes.get(what).map(Vec::as_slice).unwrap_or_default();
                if names.is_empty() {
                    continue;
                }
                let shown: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).collect();
                let more = match names.len() - shown.len() {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                let line = format!("cluster {cluster}: {what}: {}{more}", shown.join(", "));
                out.line(&out.paint(colour, &plain(&line)));
            }
        }
    }
}

/// What a push of `documents` is to be.
#[derive(Clone, Copy)]
pub(super) struct Push<'a> {
    /// Packages and deployments.
    pub(super) documents: &'a [Document],
    pub(super) bundle: &'a BundleArgs,
    pub(super) is_strict: bool,
    pub(super) if_unchanged: bool,
    pub(super) is_dry_run: bool,
}

/// Sends all of it. A refusal names the files that it speaks of.
pub(super) async fn push(client: &Client, push: Push<'_>) -> Result<Told, Error> {
    let bodies: Vec<&str> = push.documents.iter().map(|document| document.body.as_str()).collect();
    let body = bodies.join("\n---\n");
    let BundleArgs { bundle, prune, allow_empty, force, source_repository, source_commit } =
        push.bundle;
    let mut call = client.apply(&body).read_as::<Told>();
    for (name, value) in [
        ("bundle", bundle),
        ("source_repository", source_repository),
        ("source_commit", source_commit),
    ] {
        if let Some(value) = value {
            call = call.query(name, value.as_str());
        }
    }
    for (name, is_set) in [
        ("prune", *prune),
        ("allow_empty", *allow_empty),
        ("force", *force),
        ("strict", push.is_strict),
        ("if_unchanged", push.if_unchanged),
        ("dry_run", push.is_dry_run),
    ] {
        if is_set {
            call = call.query(name, "true");
        }
    }
    match call.send().await {
        Ok(answer) => Ok(answer.body),
        Err(Failure::Refused { subject, mut problem }) => {
            for violation in &mut problem.errors {
                if let Some((document, pointer)) = placed(push.documents, &violation.pointer) {
                    violation.pointer = format!("{}: {pointer}", document.origin);
                }
            }
            Err(Failure::Refused { subject, problem }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The document that a pointer into a push speaks of, and where in it: its first step is the
/// document's number.
fn placed<'d>(documents: &'d [Document], pointer: &str) -> Option<(&'d Document, String)> {
    let path = pointer.strip_prefix('/')?;
    let (number, rest) = path.split_once('/').unwrap_or((path, ""));
    let document = documents.get(number.parse::<usize>().ok()?)?;
    Some((document, if rest.is_empty() { String::new() } else { format!("/{rest}") }))
}

/// Applies `push` and tells what became of each document; answers the deployments that are to run.
pub(super) async fn apply(
    client: &Client,
    push: Push<'_>,
    io: &mut Io<'_>,
) -> Result<Vec<Followed>, Error> {
    let told = self::push(client, push).await?;
    warn(push.documents, &told, io);
    let remark = if push.is_dry_run { " (dry run)" } else { "" };
    for item in &told.items {
        let why = match (&item.at, item.outcome.as_str()) {
            (None, _) => " (pruned)",
            (Some(_), "deleted") => " (no longer in the package)",
            (Some(_), _) => "",
        };
        let verdict = item.verdict();
        tell(&item.subject(), verdict, &format!("{why}{remark}"), io);
    }
    if push.is_dry_run {
        told.tell_clusters(&mut io.out);
    }
    Ok(followed(push.documents, &told))
}

/// Tells what became of one thing.
pub(super) fn tell(subject: &str, verdict: &str, remark: &str, io: &mut Io<'_>) {
    let verdict = io.out.paint(Colour::of_state(verdict), verdict);
    io.out.line(&format!("{subject} {verdict}{remark}"));
}

/// The deployments that are to run, those inside packages that did not change too. What a package
/// declares that was only published is not deployed.
fn followed(documents: &[Document], told: &Told) -> Vec<Followed> {
    let mut generations: BTreeMap<&str, u64> = BTreeMap::new();
    let published = told.items.iter().filter(|item| item.outcome == "published");
    let published: BTreeSet<&str> = published.map(|item| item.name.as_str()).collect();
    let is_current = |document: &&Document| {
        document.kind() != Kind::Package || !published.contains(document.name())
    };
    for inline in documents.iter().filter(is_current).flat_map(Document::inline) {
        generations.insert(inline.key.as_str(), 0);
    }
    let deployments = told.items.iter().filter(|item| item.kind == "Deployment");
    for item in deployments {
        if item.outcome == "deleted" {
            generations.remove(item.name.as_str());
        } else {
            generations.insert(&item.name, item.generation);
        }
    }
    generations.into_iter().map(|(key, generation)| Followed::new(key, generation)).collect()
}

/// Tells the warnings: ours, which know the file, and of the server's those that are not ours.
fn warn(documents: &[Document], told: &Told, io: &mut Io<'_>) {
    let mark = io.err.paint(Colour::Yellow, "warning:");
    let mut ours = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        for warning in &document.warnings {
            io.err.line(&format!("{mark} {}", documents::at(&document.origin, warning)));
            ours.push(format!("/{index}{}", warning.pointer));
        }
    }
    for warning in told.warnings.iter().filter(|theirs| !ours.contains(&theirs.pointer)) {
        let (origin, pointer) = match placed(documents, &warning.pointer) {
            Some((document, pointer)) => (document.origin.as_str(), pointer),
            None => ("the push", warning.pointer.clone()),
        };
        let placed = Violation::new(pointer, plain(&warning.message));
        io.err.line(&format!("{mark} {}", documents::at(origin, &placed)));
    }
}
