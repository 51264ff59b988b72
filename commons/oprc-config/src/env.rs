//! The environment, read here and nowhere else.

use std::{collections::BTreeMap, env};

/// Variables of the process whose names begin with `prefix`.
///
/// A value that is not UTF-8 is kept with the replacement character, which no setting accepts where
/// it matters: it is reported as malformed rather than dropped.
pub(crate) fn with_prefix(prefix: &str) -> BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with(prefix).then(|| (name, value.to_string_lossy().into_owned()))
        })
        .collect()
}

/// The variables of the process that are named in `names`.
pub(crate) fn named(names: &[&str]) -> BTreeMap<String, String> {
    names
        .iter()
        .filter_map(|name| {
            let value = env::var_os(name)?;
            Some(((*name).to_owned(), value.to_string_lossy().into_owned()))
        })
        .collect()
}
