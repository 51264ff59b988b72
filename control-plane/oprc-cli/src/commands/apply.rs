//! `oprc apply`: creates or replaces what files declare.
//!
//! Every document is sent, whatever becomes of the others: they are declarations, and come in any
//! order. Only a server that is not there ends it. With `--bundle` it is one push, all of it or
//! nothing (`bundle.rs`).

use std::collections::BTreeMap;

use oprc_client::Client;
use oprc_models::problem::Violation;
use serde_json::Value;

use super::{
    bundle,
    compare::{self, compare, generation, owned, read},
    follow::{Followed, follow},
};
use crate::{
    Io,
    args::Apply,
    documents::{self, Document},
    error::Error,
    kind::Kind,
    term::{Colour, plain},
};

pub(crate) async fn run(
    args: &Apply,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let documents = documents::load(&args.files, io.input)?;
    let client = client()?;
    if args.bundle.bundle.is_some() {
        let push = bundle::Push {
            documents: &documents,
            bundle: &args.bundle,
            is_strict: args.files.strict,
            is_dry_run: args.dry_run,
        };
        return bundle::apply(&client, push, args.wait.then_some(args.timeout), io).await;
    }
    if args.dry_run {
        return dry_run(&client, &documents, io).await;
    }
    let push = Push { client: &client, is_strict: args.files.strict };
    let mut pushed = Vec::new();
    let mut n_failed = 0;
    for document in &documents {
        match push.document(document, io).await {
            Ok(deployments) => pushed.extend(deployments),
            Err(err) if err.is_refusal() => {
                err.tell(&mut io.err);
                n_failed += 1;
            }
            Err(err) => return Err(err),
        }
    }
    // What was taken is waited for even if something else was refused.
    if args.wait {
        let converged = follow(&client, pushed, args.timeout, io).await;
        if n_failed == 0 {
            return converged;
        }
        converged.inspect_err(|err| err.tell(&mut io.err)).ok();
    }
    if n_failed == 0 { Ok(()) } else { Err(Error::Some(n_failed, documents.len())) }
}

/// Says what would be done.
async fn dry_run(client: &Client, documents: &[Document], io: &mut Io<'_>) -> Result<(), Error> {
    for document in documents {
        warn(document, &Value::Null, io);
        for compared in compare(client, document).await? {
            tell(&compared.subject, compared.verdict(), " (dry run)", io);
        }
    }
    Ok(())
}

struct Push<'a> {
    client: &'a Client,
    is_strict: bool,
}

impl Push<'_> {
    /// Sends one document and tells what became of it. Returns the deployments that are to run now.
    async fn document(&self, document: &Document, io: &mut Io<'_>) -> Result<Vec<Followed>, Error> {
        let (kind, name) = (document.kind(), document.name());
        let before = read(self.client, kind, name).await?;
        let inline_before = self.inline(document).await?;

        let call = kind.replace(self.client, name, &document.body)?;
        let call = if self.is_strict { call.query("strict", "true") } else { call };
        let answer = call.send().await?;

        warn(document, &answer.body, io);
        let is_created = answer.is_created;
        tell(&document.subject(), verdict(before.as_ref(), &answer.body, is_created), "", io);
        if kind == Kind::Deployment {
            return Ok(vec![Followed::new(name, generation(&answer.body))]);
        }
        self.tell_inline(document, inline_before, io).await
    }

    /// The package's own deployments as they are, by key.
    async fn inline(&self, document: &Document) -> Result<BTreeMap<String, Value>, Error> {
        let mut inline = BTreeMap::new();
        if document.kind() == Kind::Package {
            for deployment in owned(self.client, document.name()).await? {
                inline.insert(Kind::Deployment.name_of(&deployment).to_owned(), deployment);
            }
        }
        Ok(inline)
    }

    async fn tell_inline(
        &self,
        document: &Document,
        mut before: BTreeMap<String, Value>,
        io: &mut Io<'_>,
    ) -> Result<Vec<Followed>, Error> {
        let mut deployments = Vec::new();
        for deployment in document.inline() {
            let key = deployment.key.as_str();
            let Some(after) = read(self.client, Kind::Deployment, key).await? else {
                // Deleted again by somebody else, within the moment.
                continue;
            };
            let before = before.remove(key);
            tell(&format!("deployment/{key}"), verdict(before.as_ref(), &after, false), "", io);
            deployments.push(Followed::new(key, generation(&after)));
        }
        for key in before.keys() {
            tell(&format!("deployment/{key}"), "deleted", " (no longer in the package)", io);
        }
        Ok(deployments)
    }
}

/// What a push did, by what was there before and is now.
fn verdict(before: Option<&Value>, after: &Value, is_created: bool) -> &'static str {
    match before {
        _ if is_created => "created",
        None => "created",
        Some(before) if compare::generation(before) == generation(after) => "unchanged",
        Some(_) => "configured",
    }
}

fn tell(subject: &str, verdict: &str, remark: &str, io: &mut Io<'_>) {
    let verdict = io.out.paint(Colour::of_state(verdict), verdict);
    io.out.line(&format!("{subject} {verdict}{remark}"));
}

/// Tells the warnings: ours, which know the file, and of the server's those that are not ours.
fn warn(document: &Document, answer: &Value, io: &mut Io<'_>) {
    let theirs = answer.get("warnings").and_then(Value::as_array).into_iter().flatten();
    let theirs = theirs.filter_map(warning).filter(|theirs| !document.warnings.contains(theirs));
    let mark = io.err.paint(Colour::Yellow, "warning:");
    for warning in document.warnings.iter().cloned().chain(theirs) {
        io.err.line(&format!("{mark} {}", documents::at(&document.origin, &warning)));
    }
}

/// A warning as the server tells it: with a pointer, or just a sentence.
fn warning(told: &Value) -> Option<Violation> {
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    match told.as_str() {
        Some(sentence) => Some(Violation::new("", sentence)),
        None => Some(Violation::new(text("pointer").unwrap_or_default(), plain(text("message")?))),
    }
}
