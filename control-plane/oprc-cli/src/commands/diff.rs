//! `oprc diff`: what `apply` would change, as a unified diff of the objects in YAML.

use oprc_client::Client;
use similar::TextDiff;

use super::compare::{Compared, compare};
use crate::{
    Io,
    args::Diff,
    documents,
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
    if is_different { Err(Error::Different) } else { Ok(()) }
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
