//! `oprc wait`: until an object is in a condition, or gone.

use std::time::Duration;

use oprc_client::Client;
use serde_json::Value;

use super::{changes::Changes, compare::generation, poll::Patience};
use crate::{
    Io,
    args::Wait,
    error::Error,
    kind::{Kind, Target},
    output::columns::{elements, text},
};

/// How often the object is asked for where it cannot be watched, and after a failure.
const PACE: Duration = Duration::from_millis(500);

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Goal {
    /// It is not there.
    Delete,
    /// It is in this condition, for its newest generation.
    Condition { name: String, value: String },
}

pub(crate) async fn run(args: &Wait, client: &Client, io: &mut Io<'_>) -> Result<(), Error> {
    let goal = goal(&args.what)?;
    let (kind, name) = Target::one(&args.target)?;
    if !kind.has_pages() {
        return Err(Error::usage(format!("a {kind} has no condition of its own")));
    }
    wait(client, kind, &name, &goal, args.timeout, io).await?;
    let done = match goal {
        Goal::Delete => "deleted".to_owned(),
        Goal::Condition { .. } => "condition met".to_owned(),
    };
    io.out.line(&format!("{kind}/{name} {done}"));
    Ok(())
}

/// Waits until the object is gone.
pub(super) async fn until_deleted(
    client: &Client,
    (kind, name): (Kind, &str),
    timeout: Duration,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    wait(client, kind, name, &Goal::Delete, timeout, io).await
}

async fn wait(
    client: &Client,
    kind: Kind,
    name: &str,
    goal: &Goal,
    timeout: Duration,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let subject = format!("{kind}/{name}");
    let mut patience = Patience::new(timeout, PACE);
    let mut changes = Changes::new(client, kind, Some(name));
    let (mut object, mut etag) = (Value::Null, None);
    loop {
        let answer = kind.get(client, name)?.unless(etag.as_deref()).await.map_err(Error::from);
        let has_failed = answer.is_err();
        match answer {
            Err(err) if err.is_not_found() && *goal == Goal::Delete => return Ok(()),
            answer => {
                let answer = patience.forgive(answer, &mut io.err)?;
                if let Some(answer) = answer.flatten() {
                    (object, etag) = (answer.body, answer.etag);
                }
            }
        }
        if goal.is_met(&object) {
            return Ok(());
        }
        let goes_on = if has_failed {
            patience.pause().await
        } else {
            changes.next(&patience).await.is_some()
        };
        if !goes_on {
            return Err(patience.is_over(vec![format!("{subject} {}", summary(&object))]));
        }
    }
}

/// Reads `condition=NAME`, `condition=NAME=VALUE` or `delete`.
fn goal(what: &str) -> Result<Goal, Error> {
    let words: Vec<&str> = what.splitn(3, '=').collect();
    let condition = |name: &str, value: &str| Goal::Condition {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    match words.as_slice() {
        ["delete"] => Ok(Goal::Delete),
        ["condition", name] if !name.is_empty() => Ok(condition(name, "True")),
        ["condition", name, value] if !name.is_empty() => Ok(condition(name, value)),
        _ => Err(Error::usage(format!(
            "--for={what}: want condition=NAME, condition=NAME=VALUE or delete"
        ))),
    }
}

impl Goal {
    /// Whether `object` is so. What is said of an older generation does not count.
    fn is_met(&self, object: &Value) -> bool {
        let Self::Condition { name, value } = self else { return false };
        let is = |pointer: &str, word: &str| text(object, pointer).eq_ignore_ascii_case(word);
        let is_current = |observed: Option<&Value>| {
            observed.and_then(Value::as_u64).is_none_or(|seen| seen >= generation(object))
        };
        // The one word of a deployment, of a cluster, of a record.
        let words = ["/status/condition", "/status/connectivity", "/record/status/condition"];
        if value == "True"
            && words.iter().any(|pointer| is(pointer, name))
            && is_current(object.pointer("/status/observed_generation"))
        {
            return true;
        }
        elements(object, "/status/conditions").iter().any(|condition| {
            text(condition, "/type").eq_ignore_ascii_case(name)
                && text(condition, "/status").eq_ignore_ascii_case(value)
                && is_current(object.pointer("/status/observed_generation"))
        })
    }
}

/// How the object is, for somebody who waited in vain.
fn summary(object: &Value) -> String {
    if object.is_null() {
        return "was not seen".to_owned();
    }
    let mut told = Vec::new();
    for pointer in ["/status/condition", "/status/connectivity", "/status/message"] {
        told.push(text(object, pointer));
    }
    for condition in elements(object, "/status/conditions") {
        let [kind, status, reason, message] =
            ["/type", "/status", "/reason", "/message"].map(|pointer| text(condition, pointer));
        told.push(format!("{kind}={status} ({reason}: {message})"));
    }
    told.retain(|word| word != "-");
    if told.is_empty() { "has no status yet".to_owned() } else { format!("is {}", told.join("; ")) }
}

#[cfg(test)]
mod tests;
