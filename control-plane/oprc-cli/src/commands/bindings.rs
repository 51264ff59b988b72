//! Role bindings that files declare: one by one, since no push of packages has them.

use oprc_client::Client;
use oprc_models::problem::Violation;
use serde_json::Value;

use super::{
    compare::{compare, generation, read},
    push::tell,
};
use crate::{
    Io,
    args::Apply,
    documents::{self, Document},
    error::Error,
    output::columns::{elements, text},
    term::{Colour, plain},
};

/// Sends each of `bindings`, whatever becomes of the others, and tells what became of it; answers how
/// many were refused.
pub(super) async fn apply(
    client: &Client,
    bindings: &[Document],
    args: &Apply,
    io: &mut Io<'_>,
) -> Result<usize, Error> {
    let mut n_failed = 0;
    for binding in bindings {
        match one(client, binding, args, io).await {
            Ok(()) => {}
            Err(err) if err.is_refusal() => {
                err.tell(&mut io.err);
                n_failed += 1;
            }
            Err(err) => return Err(err),
        }
    }
    Ok(n_failed)
}

async fn one(
    client: &Client,
    binding: &Document,
    args: &Apply,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let before = read(client, binding.kind(), binding.name()).await?;
    let call = client.replace_role_binding(binding.name(), &binding.body).read_as::<Value>();
    let call = if args.files.strict { call.query("strict", "true") } else { call };
    let call = if args.if_unchanged { call.query("if_unchanged", "true") } else { call };
    let answer = call.send().await?;
    warn(binding, &answer.body, io);
    let verdict = match before {
        _ if answer.is_created => "created",
        Some(before) if generation(&before) == generation(&answer.body) => "unchanged",
        Some(_) | None => "configured",
    };
    tell(&binding.subject(), verdict, "", io);
    Ok(())
}

/// Says what would become of each of `bindings`.
pub(super) async fn dry_run(
    client: &Client,
    bindings: &[Document],
    io: &mut Io<'_>,
) -> Result<(), Error> {
    for binding in bindings {
        warn(binding, &Value::Null, io);
        for compared in compare(client, binding).await? {
            tell(&compared.subject, compared.verdict(), " (dry run)", io);
        }
    }
    Ok(())
}

/// Tells the warnings: ours, which know the file, and of the server's those that are not ours.
fn warn(document: &Document, answer: &Value, io: &mut Io<'_>) {
    let theirs = elements(answer, "/warnings").iter().map(|told| {
        let pointer = told.get("pointer").and_then(Value::as_str).unwrap_or_default();
        Violation::new(pointer, plain(&text(told, "/message")))
    });
    let theirs = theirs.filter(|theirs| !document.warnings.contains(theirs));
    let mark = io.err.paint(Colour::Yellow, "warning:");
    for warning in document.warnings.iter().cloned().chain(theirs) {
        io.err.line(&format!("{mark} {}", documents::at(&document.origin, &warning)));
    }
}
