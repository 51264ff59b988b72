//! Following deployments until every cluster runs what was pushed.

mod judge;

use std::{collections::BTreeMap, time::Duration};

use oprc_client::Client;

use super::{poll::Patience, progress::Progress};
use crate::{Io, error::Error};
use judge::{Judgement, Status, judge};

/// How often a status is asked for. Mostly answered by "not changed".
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
    loop {
        let mut lines = BTreeMap::new();
        let mut pending = Vec::new();
        for deployment in &mut deployments {
            if !deployment.judge().pending.is_empty() {
                let answer = deployment.ask(client).await;
                let is_told = answer.is_err();
                patience.forgive(answer, &mut io.err)?;
                if is_told {
                    progress.leave();
                }
            }
            let judgement = deployment.judge();
            lines.extend(judgement.lines);
            pending.extend(judgement.pending);
        }
        progress.show(lines, &mut io.out);
        if pending.is_empty() {
            break;
        }
        if io.out.is_closed() || !patience.pause().await {
            return Err(patience.is_over(pending));
        }
    }
    for deployment in &deployments {
        io.out.line(&format!("deployment/{} rolled out", deployment.key));
    }
    Ok(())
}
