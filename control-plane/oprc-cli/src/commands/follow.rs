//! Following deployments until every cluster runs what was pushed: each is asked for when the
//! server's watch tells that it changed.

mod judge;

use std::{collections::BTreeMap, time::Duration};

use oprc_client::Client;

use super::{
    changes::{Change, Changes},
    poll::Patience,
    progress::Progress,
};
use crate::{Io, error::Error, kind::Kind};
use judge::{Judgement, Status, judge};

/// How often a status is asked for where it cannot be watched, and after a failure.
const PACE: Duration = Duration::from_millis(500);

/// A deployment to follow.
pub(super) struct Followed {
    key: String,
    /// The generation that was pushed; a newer one will do too.
    generation: u64,
    etag: Option<String>,
    status: Option<Status>,
}

impl Followed {
    /// The deployment `key`, at `generation` or later.
    pub(super) fn new(key: &str, generation: u64) -> Self {
        Self { key: key.to_owned(), generation, etag: None, status: None }
    }

    fn judge(&self) -> Judgement {
        judge(&self.key, self.generation, self.status.as_ref())
    }

    /// Asks how it is.
    async fn ask(&mut self, client: &Client) -> Result<(), Error> {
        let call = client.get_deployment_status(&self.key).read_as::<Status>();
        match call.unless(self.etag.as_deref()).await {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => {
                self.status = Some(answer.body);
                self.etag = answer.etag;
                Ok(())
            }
            // Right after a push there may be no status yet; one that was there and is not any
            // more says that the deployment is gone.
            Err(err) if err.is_not_found() && self.status.is_none() => Ok(()),
            Err(err) => Err(err.into()),
        }
    }
}

/// Follows all of `deployments` and shows each change, until they have converged.
pub(super) async fn follow(
    client: &Client,
    mut deployments: Vec<Followed>,
    timeout: Duration,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let mut patience = Patience::new(timeout, PACE);
    let mut progress = Progress::default();
    let only = match deployments.as_slice() {
        [one] => Some(one.key.clone()),
        _ => None,
    };
    let mut changes = Changes::new(client, Kind::Deployment, only.as_deref());
    let mut due = Change::All;
    loop {
        let mut lines = BTreeMap::new();
        let mut pending = Vec::new();
        let mut stuck = Vec::new();
        let mut has_failed = false;
        for deployment in &mut deployments {
            let is_due = match &due {
                Change::All => !deployment.judge().pending.is_empty(),
                Change::One(key) => *key == deployment.key,
            };
            if is_due {
                let answer = deployment.ask(client).await;
                has_failed |= answer.is_err();
                patience.forgive(answer, &mut io.err)?;
                if has_failed {
                    progress.leave();
                }
            }
            let judgement = deployment.judge();
            lines.extend(judgement.lines);
            if !judgement.pending.is_empty() {
                stuck.extend(judgement.stuck);
            }
            pending.extend(judgement.pending);
        }
        progress.show(lines, &mut io.out);
        if pending.is_empty() {
            break;
        }
        if !stuck.is_empty() {
            stuck.extend(pending);
            return Err(Error::Stuck(stuck));
        }
        let next = if io.out.is_closed() {
            None
        } else if has_failed {
            // No change tells that the server is back.
            patience.pause().await.then_some(Change::All)
        } else {
            changes.next(&patience).await
        };
        match next {
            Some(change) => due = change,
            None => return Err(patience.is_over(pending)),
        }
    }
    for deployment in &deployments {
        io.out.line(&format!("deployment/{} rolled out", deployment.key));
    }
    Ok(())
}
