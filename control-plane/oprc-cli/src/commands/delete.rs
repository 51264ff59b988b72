//! `oprc delete`: asks for things to be deleted. They go once nothing of them is left on any
//! cluster; `--wait` waits for that.

use std::time::Duration;

use oprc_client::Client;
use serde_json::Value;

use super::{
    changes::Changes,
    poll::Patience,
    push::{self, Push},
    wait::until_deleted,
};
use crate::{
    Io,
    args::{BundleArgs, Delete},
    documents,
    error::Error,
    kind::{Kind, Target},
    output::columns::{elements, text},
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
        for (kind, name) in &asked {
            match &args.cluster {
                Some(cluster) => until_left(&client, name, cluster, args.timeout, io).await?,
                None => until_deleted(&client, (*kind, name), args.timeout, io).await?,
            }
            io.out.line(&format!("{kind}/{name} deleted{}", from(args)));
        }
    }
    if n_failed == 0 { Ok(()) } else { Err(Error::Some(n_failed, n_targets)) }
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
) -> Result<Vec<(Kind, String)>, Error> {
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
    match call.send().await.map_err(Error::from) {
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
        Ok(_) => {
            io.out.line(&format!("{subject} deleting{}", from(args)));
            Ok(vec![(kind, name.to_owned())])
        }
        Err(err) if err.is_not_found() && args.ignore_not_found => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

/// Asks for the deletion of all that a bundle owns, at one moment: a push of nothing, with pruning.
async fn ask_bundle(
    args: &Delete,
    client: &Client,
    name: &str,
    io: &mut Io<'_>,
) -> Result<Vec<(Kind, String)>, Error> {
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
        is_dry_run: false,
    };
    let leaving = push::push(client, push).await?.leaving();
    for (kind, key) in &leaving {
        io.out.line(&format!("{kind}/{key} deleting"));
    }
    if leaving.is_empty() {
        io.out.line(&format!("bundle/{name} has no documents"));
    }
    Ok(leaving)
}

/// ` from prod-east`, where it is one cluster alone.
fn from(args: &Delete) -> String {
    args.cluster.as_ref().map(|cluster| format!(" from {cluster}")).unwrap_or_default()
}

/// Waits until the deployment has no part on `cluster`.
async fn until_left(
    client: &Client,
    key: &str,
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
