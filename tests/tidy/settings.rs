//! Settings: the README shows what the programs parse, and nobody names one that does not exist.

use std::fs;

use oprc_config::{Variable, cli, crm, pm, table};

use crate::{assert_none, files};

/// The variables of each program, under the name of its table in the README.
fn tables() -> [(&'static str, Vec<Variable>); 3] {
    [
        ("oprc-pm", pm::VARIABLES.concat()),
        ("oprc-crm", crm::VARIABLES.to_vec()),
        ("oprc", cli::VARIABLES.to_vec()),
    ]
}

/// With `UPDATE_README=1` the tables are written instead of compared.
#[test]
fn the_readme_has_the_tables_of_settings() {
    let path = files::root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap_or_default();
    let mut updated = readme.clone();
    let mut missing = Vec::new();
    for (program, variables) in tables() {
        let (begin, end) = (format!("<!-- settings of {program} -->"), "<!-- end of settings -->");
        let block = format!("{begin}\n{}{end}", table::markdown(&variables));
        let place = updated.split_once(&begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(end)?;
            Some((before.to_owned(), after.to_owned()))
        });
        match place {
            Some((before, after)) => updated = format!("{before}{block}{after}"),
            None => missing.push(block),
        }
    }
    assert!(missing.is_empty(), "put into README.md:\n\n{}", missing.join("\n\n"));
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, updated).unwrap();
        return;
    }
    assert!(updated == readme, "README.md is behind the code: run this with UPDATE_README=1");
}

/// Whether a program parses the variable `name`.
fn is_known(name: &str) -> bool {
    tables().iter().flat_map(|(_, variables)| variables).any(|variable| {
        match variable.name.split_once("<ID>") {
            None => variable.name == name,
            Some((prefix, suffix)) => {
                let id = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
                id.is_some_and(|id| !id.is_empty())
            }
        }
    })
}

/// Code, manifests and pages that name a setting name one that exists: a typo in a manifest would
/// stop a program at its start, and one in a page its reader.
#[test]
fn every_setting_that_is_named_exists() {
    let mut violations = Vec::new();
    // The parser's own tests, and the corpus, are about names that do not exist.
    let is_judged = |path: &str| {
        let is_test = path.starts_with("commons/oprc-config/") && path.ends_with("tests.rs");
        !is_test && !path.starts_with("tests/corpus/")
    };
    for file in files::below("", is_judged) {
        for prefix in ["OPRC_PM_", "OPRC_CRM_"] {
            for (start, _) in file.text.match_indices(prefix) {
                let rest = &file.text[start..];
                let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
                let name = rest.split(|c| !is_name(c)).next().unwrap_or_default();
                // `OPRC_PM_*`, `OPRC_PM_CRM_<ID>_URL`: about a family.
                if !name.ends_with('_') && !is_known(name) {
                    violations.push(format!("{}: {name}", file.path));
                }
            }
        }
    }
    assert_none("no program reads these", &violations);
}
