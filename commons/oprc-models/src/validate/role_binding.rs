//! The rules of role bindings.

use super::{MAX_ENTRIES, report::Report};
use crate::role::RoleBinding;

pub(super) fn check(report: &mut Report, binding: &RoleBinding) {
    if binding.subjects.is_empty() && binding.groups.is_empty() {
        report.add("/subjects", "nobody has the role: want subjects, groups or both");
    }
    for (at, names) in [("/subjects", &binding.subjects), ("/groups", &binding.groups)] {
        report.words(at, names);
        report.unique(at, "", names.iter().map(String::as_str));
    }
    if binding.packages.is_empty() {
        report.add("/packages", "is empty: want patterns, or leave it out for all packages");
    }
    report.count("/packages", binding.packages.len(), MAX_ENTRIES);
    report.unique("/packages", "", binding.packages.iter().map(crate::role::Pattern::as_str));
}
