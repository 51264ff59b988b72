//! Bugs that the simulation must see: each is the production code with one text replaced.
//!
//! Kept here as texts, so that production code knows nothing of them; a test checks that each text
//! is still there, once. All are put into one copy of the sources, each behind a switch that the
//! environment turns on: so they are built together, once.

use crate::error::{Error, Result};

/// The variable that names the bug that is on, in a copy that has them.
pub(crate) const SWITCH: &str = "SIMULATED_BUG";

/// A bug.
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    /// Where, from the folder of the workspace.
    pub(crate) file: &'static str,
    /// The text that is replaced; it is in the file once.
    pub(crate) from: &'static str,
    /// What stands there instead; `IS_ON` says whether the bug is on.
    pub(crate) to: &'static str,
}

impl Mutation {
    /// The file's `text` with the bug in it, behind its switch.
    pub(crate) fn apply(&self, text: &str) -> Result<String> {
        let Self { name, file, from, to } = self;
        let is_on = format!("std::env::var_os({SWITCH:?}).is_some_and(|on| on == {name:?})");
        match text.matches(from).count() {
            1 => Ok(text.replacen(from, &to.replace("IS_ON", &is_on), 1)),
            n => {
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
        to: ".filter(|(key, _)| !(key.starts_with(\"status/\") && IS_ON))
            .filter(|(key, precondition)| !holds(self.item(mvcc, key), *precondition))",
    },
    Mutation {
        name: "unknown treated as absent",
        file: "controllers/oprc-planning/src/unit.rs",
        from: "    match (unit.desired, observed) {\n",
        to: "    let observed = match observed {
        Observation::Unknown if IS_ON => Observation::Absent,
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
            let held = held.map_or(0, |held| held.generation);
            let generation = if IS_ON { held } else { generation };\n",
    },
    Mutation {
        name: "forgetting a unit whose delete timed out",
        file: "controllers/oprc-controllers/src/cluster/units.rs",
        from: "        Ok(Deleted::Gone) => {\n",
        to: "        Err(Failure::Call(error)) if error.may_have_been_done() && IS_ON => {
            call.end(Verdict::Gone(generation));
            Ok(Requeue::After(Duration::ZERO))
        }
        Ok(Deleted::Gone) => {\n",
    },
    Mutation {
        name: "re-adding without the dirty mark in the work queue",
        file: "controllers/oprc-controller-runtime/src/queue/mod.rs",
        from: "            Some(active) => {\n",
        to: "            Some(_) if IS_ON => (),
            Some(active) => {\n",
    },
    Mutation {
        name: "ignoring a compaction",
        file: "controllers/oprc-controller-runtime/src/cache/fill.rs",
        from: "                must_list = true;
            }
            End::Broken",
        to: "                if IS_ON {
                    // It goes on from now, as if nothing had been missed.
                    if let Ok(head) = cache.store.head().await {
                        cache.position.update(|at| at.revision = Some(head));
                    }
                } else {
                    must_list = true;
                }
            }
            End::Broken",
    },
    Mutation {
        name: "no fence on the leader's writes",
        file: "controllers/oprc-controllers/src/context.rs",
        from: "let mut checks = vec![self.term.fence()];",
        to: "let mut checks = if IS_ON { Vec::new() } else { vec![self.term.fence()] };",
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
