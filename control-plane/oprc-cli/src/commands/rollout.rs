//! `oprc rollout`: follows one deployment until every cluster runs its newest generation (`status`),
//! has it pause, go on or start anew, and shows and brings back what something was.

mod history;

use std::time::Duration;

use oprc_client::Client;
use serde_json::Value;

use super::follow::{Followed, follow};
use crate::{
    Io,
    args::Rollout,
    error::Error,
    kind::{Kind, Target},
};

pub(crate) async fn run(
    args: &Rollout,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    match args {
        Rollout::Status { target, timeout } => status(target, *timeout, client, io).await,
        Rollout::History(args) => history::show(args, client, io).await,
        Rollout::Diff(args) => history::diff(args, client, io).await,
        Rollout::Undo { target, to_revision } => {
            history::undo(target, *to_revision, client, io).await
        }
        Rollout::Pause(one) => {
            let key = deployment(&one.target)?;
            client()?.pause_deployment(&key).read_as::<Value>().send().await?;
            io.out.line(&format!("deployment/{key} paused"));
            Ok(())
        }
        Rollout::Resume(one) => {
            let key = deployment(&one.target)?;
            client()?.resume_deployment(&key).read_as::<Value>().send().await?;
            io.out.line(&format!("deployment/{key} resumed"));
            Ok(())
        }
        Rollout::Restart(one) => {
            let key = deployment(&one.target)?;
            let answer = client()?.restart_deployment(&key).read_as::<Value>().send().await?;
            let generation = super::compare::generation(&answer.body);
            io.out.line(&format!("deployment/{key} restarted as generation {generation}"));
            Ok(())
        }
    }
}

/// The key of the one deployment meant.
fn deployment(target: &[String]) -> Result<String, Error> {
    let (kind, key) = Target::one(target)?;
    if kind == Kind::Deployment {
        return Ok(key);
    }
    Err(Error::usage(format!("a {kind} is not rolled out: want a deployment")))
}

async fn status(
    target: &[String],
    timeout: Duration,
    client: impl FnOnce() -> Result<Client, Error>,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let key = deployment(target)?;
    let client = client()?;
    // A key that does not exist must not be waited for.
    let answer = Kind::Deployment.get(&client, &key)?.send().await?;
    let generation = super::compare::generation(&answer.body);
    follow(&client, vec![Followed::new(&key, generation)], timeout, io).await
}
