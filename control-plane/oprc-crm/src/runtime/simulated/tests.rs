use oprc_models::{meta::Timestamp, secret::SecretRef};

use super::*;
use crate::{crm::tests::unit, record};

/// The conditions and phases that a unit goes through until it rests, and whether it is gone.
async fn walk(runtime: &Simulated, unit: &DeploymentUnit, is_deleted: bool) -> (Vec<String>, bool) {
    let now = Timestamp::UNIX_EPOCH;
    let mut record = record::accepted(unit, &unit.target_env, now, now);
    if is_deleted {
        record = record::deleting(&record, now);
    }
    let mut seen = Vec::new();
    loop {
        match runtime.advance(unit, &record).await {
            Step::Rest => return (seen, false),
            Step::Gone => return (seen, true),
            Step::Became { progress, next } => {
                seen.push(format!("{:?} {}", progress.condition, progress.phase));
                record.status.condition = progress.condition;
                record.status.phase = progress.phase;
                if next.is_none() {
                    return (seen, false);
                }
            }
        }
    }
}

/// The names of secrets are shown, each once, and nothing else of them.
#[test]
fn a_record_names_the_secrets() {
    let mut unit = unit("a", 1);
    for (variable, key) in [("DB_USER", "user"), ("DB_PASSWORD", "password")] {
        let at = SecretRef { name: "db".parse().unwrap(), key: key.parse().unwrap() };
        unit.functions[0].secrets.insert(variable.to_owned(), at);
    }
    let progress = progress(&unit, RunCondition::Running, "Running");
    assert_eq!(progress.resource_refs, ["simulated/a", "secret/db"]);
}

#[tokio::test]
async fn units_come_up_fail_and_go_as_they_were_told() {
    let failing = Options { fail_classes: ["Bad".parse().unwrap()].into(), ..Options::default() };
    let runtime = Simulated::new(failing);
    let told = |word: &str| {
        let mut unit = unit("a", 1);
        unit.functions[0].config.insert(FAIL_KEY.to_owned(), word.to_owned());
        unit
    };
    let mut bad = unit("a", 1);
    bad.class_key = "Bad".parse().unwrap();
    let cases = [
        (unit("a", 1), false, vec!["Deploying Starting", "Running Simulated"], false),
        (unit("a", 1), true, vec!["Deleted Stopping"], true),
        (told("start"), false, vec!["Deploying Starting", "Down Failed"], false),
        (bad, false, vec!["Deploying Starting", "Down Failed"], false),
        (told("hang"), false, vec!["Deploying Starting"], false),
        (told("hang"), true, vec!["Deleted Stopping"], true),
        (told("delete"), true, vec!["Deleted Stopping"], false),
    ];
    for (unit, is_deleted, want, is_gone) in cases {
        let (seen, gone) = walk(&runtime, &unit, is_deleted).await;
        assert_eq!((seen, gone), (want.iter().map(ToString::to_string).collect(), is_gone));
    }
    assert_eq!(runtime.violations(&told("refuse")).len(), 1);
    assert_eq!(runtime.violations(&told("what")).len(), 1);
    assert_eq!(runtime.violations(&told("hang")).len(), 0);
}

#[test]
fn instances_are_bounded_and_only_of_what_runs() {
    let (runtime, mut unit) = (Simulated::default(), unit("a", 1));
    unit.functions[0].replicas.target = u32::MAX;
    let now = Timestamp::UNIX_EPOCH;
    let mut record = record::accepted(&unit, &unit.target_env, now, now);
    assert!(runtime.instances(&unit, &record).is_empty());
    record.status.condition = RunCondition::Running;
    assert_eq!(runtime.instances(&unit, &record).len(), MAX_INSTANCES);
}
