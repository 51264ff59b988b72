//! Bugs that the simulation must see: each is the production code with one text replaced.
//!
//! Kept here as texts, so that production code knows nothing of them; a test checks that each text
//! is still there, once.

use crate::error::{Error, Result};

/// A bug.
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    /// Where, from the folder of the workspace.
    pub(crate) file: &'static str,
    /// The text that is replaced; it is in the file once.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

impl Mutation {
    /// The file's `text` with the bug in it.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        match text.matches(self.from).count() {
            1 => Ok(text.replacen(self.from, self.to, 1)),
            n => {
                let Self { name, file, from, .. } = self;
                let what = format!("mutation `{name}`: {n} times in {file}, want once: {from}");
                Err(Error::Other(what))
            }
        }
    }
}

/// All of them.
pub(crate) const MUTATIONS: &[Mutation] = &[
    // There is no write without a precondition; so the store is what forgets to ask.
    Mutation {
        name: "compare-and-swap dropped in a status write",
        file: "commons/oprc-cp-storage/src/mvcc/pending.rs",
        from: ".filter(|(key, precondition)| !holds(self.item(mvcc, key), *precondition))",
        to: ".filter(|(key, precondition)| {
            !key.starts_with(\"status/\") && !holds(self.item(mvcc, key), *precondition)
        })",
    },
    Mutation {
        name: "unknown treated as absent",
        file: "controllers/oprc-planning/src/unit.rs",
        from: "    match (unit.desired, observed) {\n",
        to: "    let observed = match observed {
        Observation::Unknown => Observation::Absent,
        known => known,
    };
    match (unit.desired, observed) {\n",
    },
    // What the contract says of a deletion without one: whatever is held is deleted, and where
    // nothing is held nothing is remembered. It is dropped where it leaves the program.
    Mutation {
        name: "delete without generation",
        file: "tests/src/simulation/crm_client.rs",
        from: "        let delete = move |world: &mut World, cluster: &ClusterName| {\n",
        to: "        let delete = move |world: &mut World, cluster: &ClusterName| {
            let held = world.crms.get(cluster).and_then(|crm| crm.held.records.get(&id));
            let generation = held.map_or(0, |held| held.generation);\n",
    },
    Mutation {
        name: "forgetting a unit whose delete timed out",
        file: "controllers/oprc-controllers/src/cluster/units.rs",
        from: "        Ok(Deleted::Gone) => {\n",
        to: "        Err(Failure::Call(error)) if error.may_have_been_done() => {
            call.end(Verdict::Gone(generation));
            Ok(Requeue::After(Duration::ZERO))
        }
        Ok(Deleted::Gone) => {\n",
    },
    Mutation {
        name: "re-adding without the dirty mark in the work queue",
        file: "controllers/oprc-controller-runtime/src/queue/mod.rs",
        from: "active.again = Some(active.again.map_or(wish, |earlier| earlier.and(wish)));",
        to: "active.again = None;",
    },
    Mutation {
        name: "ignoring a compaction",
        file: "controllers/oprc-controller-runtime/src/cache/fill.rs",
        from: "            if let Err(error) = fill(cache).await {
                tracing::warn!(error = %error, \"listing failed\");
            }
",
        to: "            if let Ok(head) = cache.store.head().await {
                cache.position.send_modify(|at| at.revision = Some(head));
            }
",
    },
    Mutation {
        name: "no fence on the leader's writes",
        file: "controllers/oprc-controllers/src/context.rs",
        from: "checks: vec![self.term.fence()]",
        to: "checks: Vec::new()",
    },
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::MUTATIONS;
    use crate::env;

    #[test]
    fn every_mutation_still_applies() {
        for mutation in MUTATIONS {
            let text = fs::read_to_string(env::root().unwrap().join(mutation.file)).unwrap();
            let mutated = mutation.apply(&text).unwrap();
            assert_ne!(mutated, text, "{} changes nothing", mutation.name);
        }
    }
}
