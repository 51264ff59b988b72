//! The page that says which test shows what names tests that exist, and one for every fault.

use std::{collections::BTreeSet, fs};

use crate::{assert_none, files};

/// The families of faults and how many each has.
const FAULTS: [(char, usize); 4] = [('A', 14), ('B', 16), ('C', 19), ('D', 11)];

/// Names of the tests in `text`: functions marked as tests, and those of which a macro makes some.
fn tests(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let (_, rest) = line.split_once("fn ")?;
        rest.split(['(', '<']).next().map(str::to_owned)
    };
    let mut found = BTreeSet::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            // Other attributes may come in between.
            found.extend(lines.by_ref().take(5).find_map(name));
        } else if let Some(first) = line.strip_prefix("on_each_backend!(") {
            let mut list = first.to_owned();
            while !list.ends_with(");") {
                let Some(line) = lines.next() else { break };
                list.push_str(line.trim());
            }
            let names = list.trim_end_matches(");").split(',').map(str::trim);
            found.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        } else if line == "scenarios! {" {
            let rows = lines.by_ref().take_while(|line| line.trim() != "}");
            found.extend(rows.filter_map(|row| Some(row.trim().split_once(": ")?.0.to_owned())));
        }
    }
    found
}

/// The words in backticks that can be names of tests.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        word.contains('_')
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    text.split('`').skip(1).step_by(2).filter(is_name)
}

/// What the page names in backticks that looks like a test and is none.
const OTHERS: [&str; 2] = ["maybe_done", "not_ready"];

#[test]
fn the_tests_that_the_page_on_reliability_names_exist() {
    let page = fs::read_to_string(files::root().join("docs/reliability.md")).unwrap();
    let tests: BTreeSet<String> = files::rust().iter().flat_map(|file| tests(&file.text)).collect();
    // What a name begins with ends in an underscore.
    let is_missing =
        |name: &&str| !name.ends_with('_') && !OTHERS.contains(name) && !tests.contains(*name);
    let missing: Vec<_> = named(&page).filter(is_missing).map(str::to_owned).collect();
    assert_none("no test has this name", &missing);

    let mut violations = Vec::new();
    for (family, n_faults) in FAULTS {
        for number in 1..=n_faults {
            let fault = format!("{family}{number}");
            let row = page.lines().find(|line| line.starts_with(&format!("| {fault} |")));
            let cells: Vec<_> = row.unwrap_or_default().split(" | ").collect();
            if cells.get(3).is_none_or(|shown| named(shown).next().is_none()) {
                violations.push(format!("{fault} is shown by no test"));
            }
        }
    }
    assert_none("each fault has a row and a test", &violations);
}
