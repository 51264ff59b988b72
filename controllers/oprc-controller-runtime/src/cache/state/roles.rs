//! Role bindings, by those whom they name: a decision looks at its caller's bindings alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use oprc_models::{
    meta::Stored,
    names::BindingName,
    role::{RoleBinding, SubjectKind},
};

use super::{Entry, State, none, remove_from, set};

/// The bindings of each subject, and of each group.
#[derive(Debug, Default)]
pub(super) struct Index {
    subjects: BTreeMap<Box<str>, BTreeSet<BindingName>>,
    groups: BTreeMap<Box<str>, BTreeSet<BindingName>>,
}

impl Index {
    fn insert(&mut self, name: &BindingName, binding: &RoleBinding) {
        for (index, names) in
            [(&mut self.subjects, &binding.subjects), (&mut self.groups, &binding.groups)]
        {
            for who in names {
                index.entry(who.as_str().into()).or_default().insert(name.clone());
            }
        }
    }

    fn remove(&mut self, name: &BindingName, binding: &RoleBinding) {
        for (index, names) in
            [(&mut self.subjects, &binding.subjects), (&mut self.groups, &binding.groups)]
        {
            for who in names {
                remove_from(index, &who.as_str().into(), name);
            }
        }
    }
}

impl State {
    /// The bindings that name `subject`, shown by a credential of `kind`, or one of `groups`, each
    /// once.
    pub fn bindings_of<'s>(
        &'s self,
        subject: &str,
        kind: Option<SubjectKind>,
        groups: impl IntoIterator<Item = &'s str>,
    ) -> Vec<Arc<Stored<RoleBinding>>> {
        let of_subject = self.bindings_of.subjects.get(subject).unwrap_or(none());
        let is_of_kind = |name: &&BindingName| {
            let binding = self.role_bindings.get(*name).map(|entry| &entry.value.spec);
            binding.is_some_and(|binding| {
                binding.subject_kind.is_none_or(|wanted| kind == Some(wanted))
            })
        };
        let mut names: BTreeSet<&BindingName> = of_subject.iter().filter(is_of_kind).collect();
        for group in groups {
            names.extend(self.bindings_of.groups.get(group).unwrap_or(none()));
        }
        let entries = names.into_iter().filter_map(|name| self.role_bindings.get(name));
        entries.map(|entry| Arc::clone(&entry.value)).collect()
    }

    pub(super) fn set_role_binding(
        &mut self,
        name: &BindingName,
        new: Option<Entry<Stored<RoleBinding>>>,
    ) {
        if let Some(old) = set(&mut self.role_bindings, name, new) {
            self.bindings_of.remove(name, &old.value.spec);
        }
        if let Some(new) = self.role_bindings.get(name) {
            self.bindings_of.insert(name, &new.value.spec);
        }
    }
}
