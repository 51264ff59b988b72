//! Events: what was decided or met with, and why, for people. No decision ever rests on one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    meta::Timestamp,
    names::{ClusterName, DeploymentKey, PackageName},
};

/// The most reasons kept of one object; the oldest goes first.
pub const MAX_REASONS: usize = 32;

/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 512;

/// What events are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A package.
    Package(PackageName),
    /// A deployment, its units included.
    Deployment(DeploymentKey),
    /// A cluster.
    Cluster(ClusterName),
}

impl About {
    /// The word for its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Package(_) => "package",
            Self::Deployment(_) => "deployment",
            Self::Cluster(_) => "cluster",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Package(name) => name.as_str(),
            Self::Deployment(key) => key.as_str(),
            Self::Cluster(name) => name.as_str(),
        }
    }

    /// The thing of this kind and name, if there can be one.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "package" => name.parse().ok().map(Self::Package),
            "deployment" => name.parse().ok().map(Self::Deployment),
            "cluster" => name.parse().ok().map(Self::Cluster),
            _ => None,
        }
    }
}

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// It went as it should.
    Normal,
    /// It did not.
    Warning,
}

/// One reason, and how often it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// What happened, in one CamelCase word to branch on.
    pub reason: String,
    /// The incarnation of the object that it happened to; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The correlation id of the write that led to it, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Whether somebody should look.
    pub severity: Severity,
    /// The newest, in words.
    pub message: String,
    /// Of a deployment: its package at that time. `None` in events of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package_name: Option<PackageName>,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

/// What is kept of one object, under `events/{kind}/{name}`; by reason, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvents {
    /// The events.
    pub events: Vec<Event>,
}

impl StoredEvents {
    /// Takes one more: into the event of the same reason, where there is one. An event of another
    /// incarnation is replaced, not counted on; so is one of another package, since one that tells
    /// of both would be seen by those who see one.
    pub fn add(&mut self, new: Event) {
        let before = self.events.iter().position(|event| event.reason == new.reason);
        let is_same = |it: &Event| it.uid == new.uid && it.package_name == new.package_name;
        let new = match before.map(|index| self.events.remove(index)) {
            Some(before) if is_same(&before) => Event {
                count: before.count.saturating_add(new.count),
                first: before.first.min(new.first),
                ..new
            },
            Some(_) | None => new,
        };
        self.events.push(new);
        let n_over = self.events.len().saturating_sub(MAX_REASONS);
        self.events.drain(..n_over);
    }

    /// Forgets what last happened before `then`.
    pub fn forget_before(&mut self, then: Timestamp) {
        self.events.retain(|event| event.last >= then);
    }
}

/// `message`, no longer than a message may be.
#[must_use]
pub fn clipped(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let end = (0..=MAX_MESSAGE_BYTES - 3).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or_default());
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str, second: i64) -> Event {
        let at = Timestamp::from_second(second).unwrap();
        let (message, severity) = (format!("at {second}"), Severity::Normal);
        Event {
            reason: reason.to_owned(),
            uid: None,
            correlation_id: None,
            severity,
            message,
            package_name: None,
            count: 1,
            first: at,
            last: at,
        }
    }

    #[test]
    fn reasons_are_counted_and_bounded() {
        let mut stored = StoredEvents::default();
        for second in 0..100 {
            stored.add(event("Sent", second));
            stored.add(event(&format!("R{second}"), second));
        }
        assert_eq!(stored.events.len(), MAX_REASONS);
        let sent = stored.events.iter().find(|event| event.reason == "Sent").unwrap();
        assert_eq!((sent.count, sent.message.as_str()), (100, "at 99"));
        assert_eq!((sent.first.as_second(), sent.last.as_second()), (0, 99));
        stored.forget_before(Timestamp::from_second(99).unwrap());
        assert_eq!(stored.events.len(), 2);
    }

    #[test]
    fn events_of_another_incarnation_are_replaced() {
        let of = |uid: &str, second| Event { uid: Some(uid.to_owned()), ..event("Sent", second) };
        let mut stored = StoredEvents::default();
        stored.add(of("u1", 1));
        stored.add(of("u1", 2));
        assert_eq!(stored.events[0].count, 2);
        stored.add(of("u2", 3));
        let [sent] = stored.events.as_slice() else { panic!("{stored:?}") };
        assert_eq!((sent.count, sent.first.as_second()), (1, 3));
        let old: Event = serde_json::from_str(
            r#"{"reason":"Sent","severity":"NORMAL","message":"","count":2,
                "first":"2026-01-01T00:00:00Z","last":"2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!(old.uid, None, "stored by a version that knew of no uid");
    }

    #[test]
    fn messages_are_clipped_between_characters() {
        let clipped = clipped("é".repeat(1000));
        assert!(clipped.len() <= MAX_MESSAGE_BYTES && clipped.ends_with('…'));
        assert_eq!(super::clipped("short".to_owned()), "short");
    }
}
