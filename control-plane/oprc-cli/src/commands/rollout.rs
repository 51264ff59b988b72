//! `oprc rollout status`: follows one deployment until every cluster runs its newest generation.

use std::time::Duration;

use oprc_client::Client;

use super::follow::{Followed, follow};
use crate::{
    Io,
    error::Error,
    kind::{Kind, Target},
};

pub(crate) async fn run(
    target: &[String],
    timeout: Duration,
    client: &Client,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let (kind, key) = Target::one(target)?;
    if kind != Kind::Deployment {
        return Err(Error::usage(format!("a {kind} is not rolled out: want a deployment")));
    }
    // A key that does not exist must not be waited for.
    let answer = kind.get(client, &key)?.send().await?;
    let generation = super::compare::generation(&answer.body);
    follow(client, vec![Followed::new(&key, generation)], timeout, io).await
}
