//! `oprc apply --bundle`: all documents in one push, which takes effect whole or not at all; and what
//! `oprc diff` asks the server beyond the documents: what would be pruned, and what clusters would do.

use std::{collections::BTreeMap, time::Duration};

use oprc_client::Client;
use oprc_models::problem::Violation;
use serde::Deserialize;

use super::follow::{Followed, follow};
use crate::{
    Io,
    args::BundleArgs,
    documents::{self, Document},
    error::Error,
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

    /// As pushes of one document have it.
    fn verdict(&self) -> &str {
        if self.outcome == "replaced" { "configured" } else { &self.outcome }
    }
}

impl Told {
    /// Whether the push changes something.
    pub(super) fn is_different(&self) -> bool {
        self.items.iter().any(|item| item.outcome != "unchanged")
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
    pub(super) documents: &'a [Document],
    pub(super) bundle: &'a BundleArgs,
    pub(super) is_strict: bool,
    pub(super) is_dry_run: bool,
}

/// Sends all of it.
pub(super) async fn push(client: &Client, push: Push<'_>) -> Result<Told, Error> {
    let bodies: Vec<&str> = push.documents.iter().map(|document| document.body.as_str()).collect();
    let body = bodies.join("\n---\n");
    let BundleArgs { bundle, prune, force, source_repository, source_commit } = push.bundle;
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
        ("force", *force),
        ("strict", push.is_strict),
        ("dry_run", push.is_dry_run),
    ] {
        if is_set {
            call = call.query(name, "true");
        }
    }
    Ok(call.send().await?.body)
}

/// Applies `push` and tells what became of each document; with `wait`, until all of it runs.
pub(super) async fn apply(
    client: &Client,
    push: Push<'_>,
    wait: Option<Duration>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let told = self::push(client, push).await?;
    warn(push.documents, &told, io);
    let remark = if push.is_dry_run { " (dry run)" } else { "" };
    for item in &told.items {
        let verdict = io.out.paint(Colour::of_state(item.verdict()), item.verdict());
        let pruned = if item.at.is_none() { " (pruned)" } else { "" };
        io.out.line(&format!("{} {verdict}{pruned}{remark}", item.subject()));
    }
    if push.is_dry_run {
        told.tell_clusters(&mut io.out);
    }
    match wait {
        Some(timeout) => follow(client, followed(push.documents, &told), timeout, io).await,
        None => Ok(()),
    }
}

/// The deployments that are to run, those inside packages that did not change too.
fn followed(documents: &[Document], told: &Told) -> Vec<Followed> {
    let mut generations: BTreeMap<&str, u64> = BTreeMap::new();
    for inline in documents.iter().flat_map(Document::inline) {
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
        // The first step is the document's number.
        let path = warning.pointer.trim_start_matches('/');
        let (number, rest) = path.split_once('/').unwrap_or((path, ""));
        let document = number.parse().ok().and_then(|index: usize| documents.get(index));
        let origin = document.map_or("the push", |document| document.origin.as_str());
        let pointer = if rest.is_empty() { String::new() } else { format!("/{rest}") };
        let placed = Violation::new(pointer, plain(&warning.message));
        io.err.line(&format!("{mark} {}", documents::at(origin, &placed)));
    }
}
