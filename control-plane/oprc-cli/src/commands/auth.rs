//! `oprc auth`: who the server takes us for, and what we may do there.

use oprc_client::Client;
use oprc_models::access::{Verdict, WhoAmI};

use crate::{Io, args::CanI, error::Error, output::table::Table, term::plain};

/// `oprc auth whoami`.
pub(crate) async fn who_am_i(client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let WhoAmI { subject, groups, authenticated_by, roles } = client.who_am_i().send().await?.body;
    io.out.line(&format!("{} ({})", plain(&subject), plain(&authenticated_by)));
    if !groups.is_empty() {
        io.out.line(&format!("groups: {}", plain(&groups.join(", "))));
    }
    if roles.is_empty() {
        io.out.line("no roles: an admin can bind some, see `GET /api/v1/role-bindings`");
        return Ok(());
    }
    let headings = ["ROLE", "PACKAGES"];
    let rows: Vec<Vec<String>> = roles
        .iter()
        .map(|grant| {
            let packages: Vec<&str> = grant.packages.iter().map(|one| one.as_str()).collect();
            vec![grant.role.to_string(), packages.join(", ")]
        })
        .collect();
    let table = Table::new(&headings, &rows);
    table.line(&mut io.out, &headings);
    rows.iter().for_each(|row| table.line(&mut io.out, row));
    Ok(())
}

/// `oprc auth can-i`: the answer is the exit code too.
pub(crate) async fn can_i(args: &CanI, client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let mut call =
        client.can_i().query("verb", args.verb.to_string()).query("kind", args.kind.to_string());
    if let Some(name) = &args.name {
        call = call.query("name", name.as_str());
    }
    if let Some(package) = &args.package {
        call = call.query("package_name", package.as_str());
    }
    let Verdict { allowed, reason } = call.send().await?.body;
    io.out.line(if allowed { "yes" } else { "no" });
    if allowed {
        return Ok(());
    }
    if let Some(reason) = reason {
        io.err.line(&plain(&reason));
    }
    Err(Error::No)
}
