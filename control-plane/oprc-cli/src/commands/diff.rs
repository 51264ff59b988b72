//! `oprc diff`: what `apply` would change, as a unified diff of the objects in YAML.

use oprc_client::Client;
use similar::TextDiff;

use super::{
    apply::parted,
    compare::{Compared, compare},
    push,
};
use crate::{
    Io,
    args::Diff,
    documents::{self, Document},
    error::Error,
    output::yaml,
    term::{Colour, Out, plain},
};

/// Lines shown around a change, as `diff -u` does.
const CONTEXT_LINES: usize = 3;

pub(crate) async fn run(
    args: &Diff,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let documents = documents::load(&args.files, io.input)?;
    let client = client()?;
    let mut is_different = false;
    for document in &documents {
        for compared in compare(&client, document).await? {
            is_different |= compared.verdict() != "unchanged";
            show(&compared, ["server", "pushed"], &mut io.out)?;
        }
    }
    is_different |= beyond(args, &client, &documents, io).await?;
    if is_different { Err(Error::Different) } else { Ok(()) }
}

/// Shows what the server knows beyond the documents: what would be pruned, and what clusters would
/// do. Answers whether anything would change.
async fn beyond(
    args: &Diff,
    client: &Client,
    documents: &[Document],
    io: &mut Io<'_>,
) -> Result<bool, Error> {
    let (declared, _) = parted(documents);
    if declared.is_empty() && args.bundle.bundle.is_none() {
        return Ok(false);
    }
    let push = push::Push {
        documents: declared,
        bundle: &args.bundle,
        is_strict: args.files.strict,
        if_unchanged: false,
        is_dry_run: true,
    };
    let told = match push::push(client, push).await {
        Ok(told) => told,
        // An older server, which cannot tell.
        Err(Error::Server(error))
            if args.bundle.bundle.is_none()
                && error.problem().is_some_and(|problem| matches!(problem.status, 404 | 405)) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    for subject in told.pruned() {
        io.out.line(&io.out.paint(Colour::Red, &format!("pruned: {subject}")));
    }
    told.tell_clusters(&mut io.out);
    Ok(told.is_different())
}

/// Shows the difference between what the two `sides` have.
pub(super) fn show(compared: &Compared, sides: [&str; 2], out: &mut Out<'_>) -> Result<(), Error> {
    let [server, pushed] = sides;
    let text = |object: &Option<serde_json::Value>| {
        object.as_ref().map(yaml::to_text).transpose().map(Option::unwrap_or_default)
    };
    let (before, after) = (text(&compared.before)?, text(&compared.after)?);
    let name = |side: &str, is_there: bool| {
        if is_there { format!("{side}/{}", compared.subject) } else { "/dev/null".to_owned() }
    };
    let diff = TextDiff::from_lines(&before, &after)
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&name(server, compared.before.is_some()), &name(pushed, compared.after.is_some()))
        .to_string();
    for line in diff.lines() {
        let colour = match line.as_bytes().first() {
            Some(b'+') => Colour::Green,
            Some(b'-') => Colour::Red,
            Some(b'@') => Colour::Cyan,
            _ => Colour::None,
        };
        out.line(&out.paint(colour, &plain(line)));
    }
    Ok(())
}
