//! Pages of what is published.

use std::{collections::BTreeMap, sync::Arc};

use oprc_cp_storage::{Revision, keys::Key};

use super::{Entry, PackedVersion, State};

/// Every stretch between two keys has what lies between them, whatever the order of names is.
#[test]
fn a_page_has_what_is_between_its_ends() {
    let text =
        br#"{"uid":"u","created_at":"2026-01-01T00:00:00Z","content_hash":"","spec":{"name":"a"}}"#;
    let mut state = State::default();
    let mut all = BTreeMap::new();
    let names = ["a", "a-b", "a-b-c", "a-b.c", "a.b", "a0", "aa", "b", "b-", "b-a"];
    for (name, version) in names.iter().flat_map(|name| [(name, "1.0.0"), (name, "2.0.0")]) {
        let revision = Revision(all.len() as u64 + 1);
        let (name, version) = (name.parse().unwrap(), version.parse().unwrap());
        let value = Arc::new(PackedVersion::new(text.as_slice().into()).unwrap());
        state.set_version(&name, &version, Some(Entry { value, revision }));
        all.insert(Key::PackageVersion(name, version).to_string(), revision);
    }
    let ends = || std::iter::once(None).chain(all.keys().map(|key| Some(key.as_str())));
    for (after, until) in ends().flat_map(|after| ends().map(move |until| (after, until))) {
        let is_within = |key: &str| {
            after.is_none_or(|after| key > after) && until.is_none_or(|until| key <= until)
        };
        let mut want = all.clone();
        want.retain(|key, _| is_within(key));
        assert_eq!(state.published_within(after, until), want, "{after:?} to {until:?}");
    }
}
