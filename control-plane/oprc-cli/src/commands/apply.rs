//! `oprc apply`: creates or replaces what files declare.
//!
//! Packages and deployments go in one push (`push.rs`), all of it or nothing. Role bindings are no
//! part of it, and follow one by one when it was taken (`bindings.rs`).

use oprc_client::Client;

use super::{bindings, follow::follow, push};
use crate::{
    Io,
    args::Apply,
    documents::{self, Document},
    error::Error,
    kind::Kind,
};

pub(crate) async fn run(
    args: &Apply,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let documents = documents::load(&args.files, io.input)?;
    let client = client()?;
    let (declared, bound) = parted(&documents);
    let mut deployments = Vec::new();
    if !declared.is_empty() || args.bundle.bundle.is_some() {
        let push = push::Push {
            documents: declared,
            bundle: &args.bundle,
            is_strict: args.files.strict,
            if_unchanged: args.if_unchanged,
            is_dry_run: args.dry_run,
        };
        deployments = push::apply(&client, push, io).await?;
    }
    if args.dry_run {
        return bindings::dry_run(&client, bound, io).await;
    }
    let n_failed = bindings::apply(&client, bound, args, io).await?;
    // What was taken is waited for even if something else was refused.
    if args.wait {
        let converged = follow(&client, deployments, args.timeout, io).await;
        if n_failed == 0 {
            return converged;
        }
        converged.inspect_err(|err| err.tell(&mut io.err)).ok();
    }
    if n_failed == 0 { Ok(()) } else { Err(Error::Some(n_failed, documents.len())) }
}

/// What goes in one push, and what does not. Documents are in the order of their kinds, role bindings
/// last.
pub(super) fn parted(documents: &[Document]) -> (&[Document], &[Document]) {
    documents.split_at(documents.partition_point(|one| one.kind() != Kind::RoleBinding))
}
