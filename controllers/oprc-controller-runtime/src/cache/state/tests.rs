//! Random writes: whatever came before, the state is that of what is stored now.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use oprc_cp_storage::{Change, KeyValue, Revision, keys::Key};
use oprc_models::{meta::Timestamp, names::UnitId};
use serde_json::{Value, json};

use super::{Changed, State};

/// What is stored, as the store would list it.
type Stored = BTreeMap<String, KeyValue>;

const KEYS: [&str; 30] = [
    "packages/a",
    "packages/b",
    "packages/c",
    "deployments/d",
    "deployments/e",
    "clusters/east",
    "clusters/west",
    "units/east/d",
    "units/east/e",
    "units/west/d",
    "records/east/r",
    "records/east/s",
    "records/west/r",
    "status/packages/a",
    "status/packages/b",
    "status/deployments/d",
    "status/clusters/east",
    "role-bindings/r",
    "role-bindings/s",
    "leader/pm",
    "bundles/b",
    "pushes/p",
    "pushes/q",
    "packages/d",
    "package-versions/a/1.0.0",
    "package-versions/a/1.1.0-rc.1",
    "package-versions/c/1.0.0",
    "future/kind",
    "units/East/d",
    "packages/",
];

/// A value for `key`: of the right kind, or garbage now and then.
fn value(key: &str, revision: u64, rng: &mut fastrand::Rng) -> Bytes {
    let pick = |of: &[&str], rng: &mut fastrand::Rng| of[rng.usize(0..of.len())].to_owned();
    let meta = |owner: Value| {
        json!({"uid": "u", "generation": 1, "created_at": Timestamp::UNIX_EPOCH,
            "updated_at": Timestamp::UNIX_EPOCH, "owner": owner,
            "bundle": revision.is_multiple_of(2).then_some("b")})
    };
    let parts: Vec<&str> = key.split('/').collect();
    if rng.u8(0..6) == 0 && parts[0] != "leader" {
        return Bytes::from_static(b"{\"newer\": 1}");
    }
    let package = pick(&["a", "b", "c"], rng);
    let value = match parts.as_slice() {
        ["packages", name] => {
            let needs: Vec<_> = ["a", "b", "c@^1"].into_iter().filter(|_| rng.bool()).collect();
            json!({"meta": meta(Value::Null), "spec": {"name": name, "dependencies": needs}})
        }
        ["package-versions", name, version] => {
            let needs: Vec<_> = ["a", "b", "c@^1"].into_iter().filter(|_| rng.bool()).collect();
            json!({"uid": pick(&["u", "v"], rng), "created_at": Timestamp::UNIX_EPOCH,
                "content_hash": "", "spec": {
                    "name": name, "version": version, "dependencies": needs}})
        }
        ["deployments", name] => {
            let owner = if rng.bool() { json!(pick(&["a", "b"], rng)) } else { Value::Null };
            json!({"meta": meta(owner), "spec": {
                "key": name, "package_name": package, "class_key": "k"}})
        }
        ["bundles", name] => json!({"name": name, "generation": 1, "n_packages": 1,
            "n_deployments": 1, "created_at": Timestamp::UNIX_EPOCH,
            "updated_at": Timestamp::UNIX_EPOCH}),
        ["pushes", _] => json!({"progress": pick(&["PENDING", "COMMITTED"], rng),
            "begun_at": Timestamp::UNIX_EPOCH, "n_documents": 1}),
        ["clusters", name] => json!({"meta": meta(Value::Null), "spec": {
            "name": name, "endpoints": []}}),
        ["units", cluster, deployment] => {
            let uid = format!("{deployment}{}", rng.u8(0..3));
            let cluster = cluster.to_lowercase();
            let id = UnitId::derive("k", &uid, &cluster.parse().unwrap());
            json!({"desired": "PRESENT", "deployment_uid": uid, "unit": {
                "id": id, "deployment_key": deployment, "package_name": package, "class_key": "k",
                "target_env": cluster, "generation": revision, "spec_hash": "", "owner": "",
                "created_at": Timestamp::UNIX_EPOCH}})
        }
        ["records", cluster, id] => json!({
            "cluster": cluster, "id": id, "deployment_key": pick(&["d", "e"], rng),
            "managed": true, "observed_at": Timestamp::UNIX_EPOCH}),
        ["status", "packages", _] => json!({"uid": "u", "observed_generation": 1}),
        ["status", "deployments", _] => {
            let reason = pick(&["Refused", "Running"], rng);
            json!({"uid": "u", "observed_generation": 1,
                "condition": pick(&["RUNNING", "DOWN", "UNKNOWN"], rng),
                "conditions": [{"type": "Progressing", "status": "False", "reason": reason,
                    "observed_generation": 1, "last_transition_time": Timestamp::UNIX_EPOCH}]})
        }
        ["status", "clusters", name] => json!({
            "connectivity": pick(&["CONNECTED", "UNREACHABLE"], rng), "breaker": "CLOSED",
            "health": {"cluster_name": name, "status": pick(&["HEALTHY", "UNHEALTHY"], rng)}}),
        ["role-bindings", name] => {
            let pair = ["a", "b"].into_iter().filter(|_| rng.bool()).collect::<Vec<_>>();
            json!({"meta": meta(Value::Null), "spec": {
                "name": name, "role": "viewer", "subjects": pair, "groups": [package]}})
        }
        _ => json!({ "revision": revision }),
    };
    let is_document = matches!(parts.as_slice(), ["packages" | "deployments", _]);
    if is_document && rng.bool() {
        return Bytes::from(with_intent(value, &pick(&["p", "q"], rng), revision, rng).to_string());
    }
    Bytes::from(value.to_string())
}

/// `document` with an intent of `push` beside it, or as nothing but an intent.
fn with_intent(mut document: Value, push: &str, revision: u64, rng: &mut fastrand::Rng) -> Value {
    let mut intent = document.clone();
    intent["push"] = json!(push);
    intent["meta"]["generation"] = json!(2);
    intent["since"] = json!(revision - 1);
    if rng.bool() {
        return json!({ "intent": intent });
    }
    document["intent"] = intent;
    document
}

fn write(stored: &mut Stored, key: &str, revision: u64, rng: &mut fastrand::Rng) -> Change {
    if stored.contains_key(key) && rng.u8(0..3) == 0 {
        stored.remove(key);
        return Change::Delete { key: key.to_owned(), revision: Revision(revision) };
    }
    let written = KeyValue {
        key: key.to_owned(),
        value: value(key, revision, rng),
        create_revision: Revision(1),
        mod_revision: Revision(revision),
    };
    stored.insert(key.to_owned(), written.clone());
    Change::Put(written)
}

/// The state of what is stored, from nothing.
fn listed(stored: &Stored) -> State {
    let mut state = State::default();
    for item in stored.values() {
        state.apply(Change::Put(item.clone()));
    }
    state
}

#[test]
fn history_does_not_matter() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut state, mut stored) = (State::default(), Stored::new());
        for revision in 1..60 {
            let key = KEYS[rng.usize(0..KEYS.len())];
            let change = write(&mut stored, key, revision, &mut rng);
            let told = state.apply(change);
            assert_eq!(!told.is_empty(), key.parse::<Key>().is_ok(), "{key}");
            let (got, want) = (format!("{state:?}"), format!("{:?}", listed(&stored)));
            assert_eq!(got, want, "seed {seed}, after {key} at {revision}");
        }
    }
}

/// Each object that changed, and the neighbours that were told with it.
fn by_object(told: impl IntoIterator<Item = Changed>) -> BTreeMap<Changed, BTreeSet<String>> {
    let mut objects: BTreeMap<Changed, BTreeSet<String>> = BTreeMap::new();
    let texts = |names: BTreeSet<oprc_models::names::PackageName>| {
        names.into_iter().map(String::from).collect()
    };
    for changed in told {
        let (object, neighbours): (_, BTreeSet<String>) = match changed {
            Changed::Package(name, with) => (Changed::Package(name, BTreeSet::new()), texts(with)),
            Changed::Deployment(key, with) => {
                (Changed::Deployment(key, BTreeSet::new()), texts(with))
            }
            Changed::Record(cluster, id, with) => {
                let with = with.into_iter().map(String::from).collect();
                (Changed::Record(cluster, id, BTreeSet::new()), with)
            }
            other => (other, BTreeSet::new()),
        };
        objects.entry(object).or_default().extend(neighbours);
    }
    objects
}

/// What is told after a listing is what the changes themselves would have told.
#[test]
fn differences_are_what_applying_tells() {
    let mut n_told = 0;
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut stored = Stored::new();
        for (revision, key) in (1..).zip(KEYS) {
            if rng.bool() {
                write(&mut stored, key, revision, &mut rng);
            }
        }
        let before = listed(&stored);
        let mut state = listed(&stored);
        let mut told = BTreeSet::new();
        for (revision, key) in (100..).zip(KEYS) {
            let parsed = key.parse::<Key>();
            let was_unreadable =
                parsed.as_ref().is_ok_and(|key| state.unreadable.contains_key(key));
            if rng.bool() {
                let changed = state.apply(write(&mut stored, key, revision, &mut rng));
                // What cannot be read now as before is news to nobody.
                let is_unreadable =
                    parsed.as_ref().is_ok_and(|key| state.unreadable.contains_key(key));
                if !(was_unreadable && is_unreadable) {
                    told.extend(changed);
                }
            }
        }
        n_told += told.len();
        let differences = by_object(listed(&stored).differences(&before));
        let told = by_object(told);
        assert!(differences.keys().eq(told.keys()), "seed {seed}: {differences:?} {told:?}");
        for (changed, neighbours) in &differences {
            // A document whose push was decided after it was written is told twice, with all that it
            // was in between.
            assert!(neighbours.is_subset(&told[changed]), "seed {seed}: {changed:?}");
        }
        assert!(state.differences(&listed(&stored)).is_empty());
    }
    assert!(n_told > 500);
}

#[test]
fn unreadable_value_is_kept_apart_and_heals() {
    let mut state = State::default();
    let key: Key = "packages/a".parse().unwrap();
    let mut put = |value: &str, revision| {
        let changed = state.apply(Change::Put(KeyValue {
            key: key.to_string(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            create_revision: Revision(1),
            mod_revision: Revision(revision),
        }));
        let name = "b".parse().unwrap();
        let n_dependants = state.dependants_of_package(&name).len();
        (
            changed.into_iter().next().unwrap(),
            state.packages.len(),
            state.unreadable.len(),
            n_dependants,
        )
    };
    let good = json!({
        "meta": {"uid": "u", "generation": 1, "created_at": Timestamp::UNIX_EPOCH,
            "updated_at": Timestamp::UNIX_EPOCH},
        "spec": {"name": "a", "dependencies": ["b"]},
    })
    .to_string();
    let changed = || Changed::Package("a".parse().unwrap(), BTreeSet::from(["b".parse().unwrap()]));
    assert_eq!(put(&good, 1), (changed(), 1, 0, 1));
    assert_eq!(put("{", 2), (changed(), 0, 1, 0));
    assert_eq!(put(&good, 3), (changed(), 1, 0, 1));
}
