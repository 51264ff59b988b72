//! `oprc delete`: asks for things to be deleted. They go once nothing of them is left on any
//! cluster; `--wait` waits for that.

use std::time::Duration;

use oprc_client::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    changes::Changes,
    poll::Patience,
    push::{self, Push},
    wait::{Incarnation, held_up_by, until_deleted},
};
use crate::{
    Io,
    args::{BundleArgs, Delete},
    documents,
    error::Error,
    kind::{Kind, Target},
    output::columns::{elements, has, text},
    term::{Colour, plain},
};

/// How often a deployment that leaves a cluster is asked for where it cannot be watched, and after a
/// failure.
const PACE: Duration = Duration::from_millis(500);

pub(crate) async fn run(
    args: &Delete,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let targets = targets(args, io)?;
    let client = client()?;
    let mut n_failed = 0;
    let mut asked = Vec::new();
    let n_targets = targets.len();
    for (kind, name) in targets {
        match ask(args, &client, kind, &name, io).await {
            Ok(leaving) => asked.extend(leaving),
            Err(err) if err.is_refusal() && n_targets > 1 => {
                err.tell(&mut io.err);
                n_failed += 1;
            }
            Err(err) => return Err(err),
        }
    }
    if args.wait {
        until_gone(args, &client, asked, io).await?;
    }
    if n_failed == 0 { Ok(()) } else { Err(Error::Some(n_failed, n_targets)) }
}

/// A document on its way out.
struct Leaving {
    kind: Kind,
    name: String,
    /// The incarnation that was asked to go, where the server says it.
    uid: Option<String>,
}

/// Waits until all of `asked` are gone, within one time for all. What is not gone then is named, with
/// the clusters that hold it up.
async fn until_gone(
    args: &Delete,
    client: &Client,
    asked: Vec<Leaving>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let began = Instant::now();
    let mut asked = asked.into_iter();
    while let Some(Leaving { kind, name, uid }) = asked.next() {
        let left = args.timeout.saturating_sub(began.elapsed());
        let done = match &args.cluster {
            Some(cluster) => until_left(client, &name, uid.as_deref(), cluster, left, io).await,
            None => {
                let incarnation = Incarnation::asked_to_go(uid);
                until_deleted(client, (kind, &name), incarnation, left, io).await
            }
        };
        match done {
            Ok(()) => io.out.line(&format!("{kind}/{name} deleted{}", from(args))),
            Err(Error::NotConverged { mut pending, .. }) => {
                for Leaving { kind, name, .. } in asked {
                    pending.extend(held_up_by(client, kind, &name).await);
                }
                return Err(Patience::new(args.timeout, PACE).is_over(pending));
            }
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

/// What is to be deleted: deployments before the packages that they are of.
fn targets(args: &Delete, io: &mut Io<'_>) -> Result<Vec<(Kind, String)>, Error> {
    let mut targets = if args.target.is_empty() {
        let documents = documents::load(&args.files, io.input)?;
        let target = |one: &documents::Document| (one.kind(), one.name().to_owned());
        documents.iter().rev().map(target).collect()
    } else {
        vec![Target::one(&args.target)?]
    };
    targets.sort_by_key(|(kind, _)| *kind != Kind::Deployment);
    for (kind, _) in &targets {
        let is_deletable = matches!(
            kind,
            Kind::Package | Kind::Deployment | Kind::Cluster | Kind::Bundle | Kind::RoleBinding
        );
        if !is_deletable {
            return Err(Error::usage(format!("a {kind} cannot be deleted")));
        }
        if args.cluster.is_some() && *kind != Kind::Deployment {
            return Err(Error::usage("--cluster is for a deployment"));
        }
        if args.force && !matches!(kind, Kind::Deployment | Kind::Cluster) {
            return Err(Error::usage("--force is for a deployment or a cluster"));
        }
        if args.cascade && args.cluster.is_some() {
            return Err(Error::usage("--cascade and --cluster: want one of them"));
        }
    }
    Ok(targets)
}

/// Asks for the deletion. Returns what is on its way out.
async fn ask(
    args: &Delete,
    client: &Client,
    kind: Kind,
    name: &str,
    io: &mut Io<'_>,
) -> Result<Vec<Leaving>, Error> {
    if kind == Kind::Bundle {
        return ask_bundle(args, client, name, io).await;
    }
    let mut call = kind.delete(client, name)?;
    let subject = call.subject();
    if args.cascade && kind == Kind::Package {
        call = call.query("cascade", "true");
    }
    if let Some(cluster) = &args.cluster {
        call = call.query("cluster", cluster);
    }
    if args.force {
        call = call.query("force", "true");
    }
    if args.dry_run {
        call = call.query("dry_run", "true");
    }
    match call.send().await.map_err(Error::from) {
        Ok(answer) if args.dry_run => {
            for Leaving { kind, name, .. } in leaving(kind, name, &answer.body) {
                io.out.line(&format!("{kind}/{name} would be deleted{}", from(args)));
            }
            Ok(Vec::new())
        }
        Ok(answer) if args.force => {
            io.out.line(&format!("{subject} removed by force"));
            let mark = io.err.paint(Colour::Yellow, "warning:");
            for left in elements(&answer.body, "/warnings") {
                let message = text(left, "/message");
                io.err.line(&format!("{mark} {subject}: {}", plain(&message)));
            }
            // There is nothing to wait for: it is gone, and what is left is met later or never.
            Ok(Vec::new())
        }
        Ok(_) if matches!(kind, Kind::RoleBinding | Kind::Cluster) => {
            io.out.line(&format!("{subject} deleted"));
            Ok(Vec::new())
        }
        Ok(answer) => {
            let leaving = leaving(kind, name, &answer.body);
            for Leaving { kind, name, .. } in &leaving {
                io.out.line(&format!("{kind}/{name} deleting{}", from(args)));
            }
            Ok(leaving)
        }
        Err(err) if err.is_not_found() && args.ignore_not_found => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

/// Returns what goes by a deletion, in the order in which it can: what was deleted with the document
/// of this kind and name (`answer`), and that.
fn leaving(kind: Kind, name: &str, answer: &Value) -> Vec<Leaving> {
    let with_it = elements(answer, "/also_written").iter().filter_map(|key| {
        let (family, name) = key.as_str()?.split_once('/')?;
        Some(Leaving { kind: family.parse().ok()?, name: name.to_owned(), uid: None })
    });
    let uid = answer.pointer("/meta/uid").and_then(Value::as_str).map(str::to_owned);
    with_it.chain([Leaving { kind, name: name.to_owned(), uid }]).collect()
}

/// Asks for the deletion of all that a bundle owns, at one moment: a push of nothing, with pruning.
async fn ask_bundle(
    args: &Delete,
    client: &Client,
    name: &str,
    io: &mut Io<'_>,
) -> Result<Vec<Leaving>, Error> {
    // A push would make one that is not there.
    match client.get_bundle(name).read_as::<Value>().send().await.map_err(Error::from) {
        Ok(_) => {}
        Err(err) if err.is_not_found() && args.ignore_not_found => return Ok(Vec::new()),
        Err(err) => return Err(err),
    }
    let bundle = BundleArgs {
        bundle: Some(name.to_owned()),
        prune: true,
        allow_empty: true,
        ..BundleArgs::default()
    };
    let push = Push {
        documents: &[],
        bundle: &bundle,
        is_strict: false,
        if_unchanged: false,
        is_dry_run: args.dry_run,
    };
    let leaving = push::push(client, push).await?.leaving();
    let done = if args.dry_run { "would be deleted" } else { "deleting" };
    for (kind, key) in &leaving {
        io.out.line(&format!("{kind}/{key} {done}"));
    }
    if leaving.is_empty() {
        io.out.line(&format!("bundle/{name} has no documents"));
    }
    let leaving = if args.dry_run { Vec::new() } else { leaving };
    Ok(leaving.into_iter().map(|(kind, name)| Leaving { kind, name, uid: None }).collect())
}

/// ` from prod-east`, where it is one cluster alone.
fn from(args: &Delete) -> String {
    args.cluster.as_ref().map(|cluster| format!(" from {cluster}")).unwrap_or_default()
}

/// Waits until the deployment has no part on `cluster`, or is another one than `uid`.
async fn until_left(
    client: &Client,
    key: &str,
    uid: Option<&str>,
    cluster: &str,
    timeout: Duration,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let subject = format!("deployment/{key}");
    let mut patience = Patience::new(timeout, PACE);
    let mut changes = Changes::new(client, Kind::Deployment, Some(key));
    loop {
        let call = client.get_deployment_status(key).read_as::<Value>();
        let answer = call.send().await.map_err(Error::from);
        let has_failed = answer.is_err();
        let status = match answer {
            Err(err) if err.is_not_found() => return Ok(()),
            answer => patience.forgive(answer, &mut io.err)?.map(|answer| answer.body),
        };
        let mut pending = format!("{subject} on {cluster}: not known");
        if let Some(status) = status {
            if uid.is_some_and(|uid| has(&status, "/uid") && text(&status, "/uid") != uid) {
                return Ok(());
            }
            let number = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or_default();
            let parts = elements(&status, "/clusters").iter();
            let part = parts.into_iter().find(|part| text(part, "/cluster") == cluster);
            match part {
                None if number("observed_generation") >= number("generation") => return Ok(()),
                None => {}
                Some(part) => {
                    let [condition, reason, message] =
                        ["/condition", "/reason", "/message"].map(|pointer| text(part, pointer));
                    pending = format!("{subject} on {cluster} {condition}: {reason}: {message}");
                }
            }
        }
        let goes_on = if has_failed {
            patience.pause().await
        } else {
            changes.next(&patience).await.is_some()
        };
        if !goes_on {
            return Err(patience.is_over(vec![pending]));
        }
    }
}
