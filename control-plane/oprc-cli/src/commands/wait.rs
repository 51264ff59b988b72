//! `oprc wait`: until an object is in a condition, or gone.

use std::{collections::BTreeSet, time::Duration};

use oprc_client::Client;
use oprc_models::{condition::TYPES, view::Page};
use serde_json::Value;

use super::{changes::Changes, compare::generation, poll::Patience};
use crate::{
    Io,
    args::Wait,
    error::Error,
    kind::{Kind, Target},
    output::columns::{elements, has, text},
    term::plain,
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
    goal.check(kind)?;
    let any = Incarnation::default();
    wait(client, (kind, &name), &goal, any, args.timeout, io).await?;
    let done = match goal {
        Goal::Delete => "deleted".to_owned(),
        Goal::Condition { .. } => "condition met".to_owned(),
    };
    io.out.line(&format!("{kind}/{name} {done}"));
    Ok(())
}

/// Which incarnation of an object is to be gone: one that was created anew under its name is another.
#[derive(Debug, Default)]
pub(super) struct Incarnation {
    uid: Option<String>,
    is_asked: bool,
}

impl Incarnation {
    /// The one that was asked to go: `uid`, where it is known.
    pub(super) fn asked_to_go(uid: Option<String>) -> Self {
        Self { uid, is_asked: true }
    }

    /// Returns `true` if `object` is another. Without a uid the first that is seen counts, unless it
    /// was asked to go and does not: then it is another already.
    fn is_gone(&mut self, object: &Value) -> bool {
        let Some(uid) = object.pointer("/meta/uid").and_then(Value::as_str) else { return false };
        if let Some(known) = &self.uid {
            return known != uid;
        }
        if self.is_asked && !has(object, "/meta/deletion_requested_at") {
            return true;
        }
        self.uid = Some(uid.to_owned());
        false
    }
}

/// Waits until the object is gone.
pub(super) async fn until_deleted(
    client: &Client,
    (kind, name): (Kind, &str),
    incarnation: Incarnation,
    timeout: Duration,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    wait(client, (kind, name), &Goal::Delete, incarnation, timeout, io).await
}

async fn wait(
    client: &Client,
    (kind, name): (Kind, &str),
    goal: &Goal,
    mut incarnation: Incarnation,
    timeout: Duration,
    io: &mut Io<'_>,
) -> Result<(), Error> {
    let subject = format!("{kind}/{name}");
    let mut patience = Patience::new(timeout, PACE);
    let mut changes = Changes::new(client, kind, Some(name));
    let (mut object, mut etag) = (Value::Null, None);
    let mut told = Vec::new();
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
        if *goal == Goal::Delete {
            if incarnation.is_gone(&object) {
                return Ok(());
            }
            let held = on_clusters(name, &object);
            if held != told {
                held.iter().for_each(|line| io.err.line(line));
                told = held;
            }
        } else if goal.is_met(&object) {
            return Ok(());
        }
        if let Some(reason) = goal.is_hopeless(kind, name, &object)? {
            return Err(Error::Stuck(vec![reason, format!("{subject} {}", summary(&object))]));
        }
        let goes_on = if has_failed {
            patience.pause().await
        } else {
            changes.next(&patience).await.is_some()
        };
        if !goes_on {
            let mut pending = Vec::new();
            if *goal == Goal::Delete {
                pending = held_up_by(client, kind, name).await;
            }
            if pending.is_empty() {
                pending.push(format!("{subject} {}", summary(&object)));
            }
            return Err(patience.is_over(pending));
        }
    }
}

/// Returns a line for each cluster that is still to be rid of the deployment.
fn on_clusters(key: &str, deployment: &Value) -> Vec<String> {
    let parts = elements(deployment, "/status/clusters").iter();
    let leaving = parts.filter(|part| text(part, "/desired") == "ABSENT").map(|part| {
        let [cluster, condition, reason, message] =
            ["/cluster", "/condition", "/reason", "/message"].map(|pointer| text(part, pointer));
        let mut line = format!("deployment/{key} waits for {cluster}: {condition}");
        for word in [reason, message] {
            if word != "-" {
                line.push_str(": ");
                line.push_str(&word);
            }
        }
        plain(&line).into_owned()
    });
    leaving.collect()
}

/// Returns what keeps the object from going, a line each: of a deployment, the clusters that hold it;
/// of a package, its deployments on theirs. Best effort: what cannot be read is left out.
pub(super) async fn held_up_by(client: &Client, kind: Kind, name: &str) -> Vec<String> {
    match kind {
        Kind::Deployment => {
            let answer = client.get_deployment(name).read_as::<Value>().send().await;
            answer.map(|answer| on_clusters(name, &answer.body)).unwrap_or_default()
        }
        Kind::Package => {
            let call =
                client.list_deployments().query("package_name", name).read_as::<Page<Value>>();
            let answer = call.send().await;
            let found = answer.map(|answer| answer.body.items).unwrap_or_default();
            found
                .iter()
                .map(|one| (text(one, "/key"), one))
                .flat_map(|(key, one)| {
                    let held = on_clusters(&key, one);
                    let is_known = !held.is_empty();
                    held.into_iter()
                        .chain((!is_known).then(|| format!("deployment/{key} is there")))
                })
                .collect()
        }
        _ => Vec::new(),
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

/// The words for the run state of a deployment or a record, and for whether a cluster is heard from.
fn words(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Deployment | Kind::Record => {
            &["Pending", "Deploying", "Running", "Down", "Deleted", "Unknown"]
        }
        Kind::Cluster => &[
            "Unknown",
            "Connected",
            "Unreachable",
            "Unauthorized",
            "Misidentified",
            "NOT_CONFIGURED",
        ],
        Kind::Package | Kind::Class | Kind::Function | Kind::Bundle | Kind::RoleBinding => &[],
    }
}

/// Words for the run states and conditions that a paused deployment does not come to by itself.
const NOT_WHILE_PAUSED: [&str; 4] = ["Running", "Ready", "Deploying", "Progressing"];

impl Goal {
    /// Refuses a status that no condition has, and conditions of a kind that has none.
    fn check(&self, kind: Kind) -> Result<(), Error> {
        let Self::Condition { value, .. } = self else { return Ok(()) };
        if matches!(kind, Kind::Bundle | Kind::RoleBinding) {
            return Err(Error::usage(format!("a {kind} has no conditions: want --for=delete")));
        }
        let is_value = |known: &&str| known.eq_ignore_ascii_case(value);
        if ["True", "False", "Unknown"].iter().any(is_value) {
            return Ok(());
        }
        Err(Error::usage(format!("{value:?} is not a status: want True, False or Unknown")))
    }

    /// Returns why `object` will not come to be so, if that is certain.
    ///
    /// # Errors
    ///
    /// A condition that neither this program nor the server knows.
    fn is_hopeless(&self, kind: Kind, name: &str, object: &Value) -> Result<Option<String>, Error> {
        let Self::Condition { name: wanted, .. } = self else { return Ok(None) };
        if object.is_null() {
            return Ok(None);
        }
        let said = elements(object, "/status/conditions").iter();
        let said: Vec<String> = said.map(|condition| text(condition, "/type")).collect();
        let types = if kind == Kind::Record { &[][..] } else { &TYPES[..] };
        let mut known: Vec<&str> = words(kind).to_vec();
        known.extend(types.iter().map(|(known, _)| *known));
        known.extend(said.iter().map(String::as_str));
        if !known.iter().any(|known| known.eq_ignore_ascii_case(wanted)) {
            let mut seen = BTreeSet::new();
            known.retain(|known| seen.insert(*known));
            let known = known.join(", ");
            return Err(Error::usage(format!("no condition {wanted:?} of a {kind}: want {known}")));
        }
        let is_held = NOT_WHILE_PAUSED.iter().any(|held| held.eq_ignore_ascii_case(wanted));
        if kind != Kind::Deployment || !is_held || !has(object, "/meta/paused_at") {
            return Ok(None);
        }
        let since = text(object, "/meta/paused_at");
        Ok(Some(format!(
            "deployment/{name} is paused since {since}; `oprc rollout resume deployment {name}` \
             lets it go on"
        )))
    }

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
