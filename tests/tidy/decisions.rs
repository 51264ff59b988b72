//! Decision records: each has its number, status and date, links lead somewhere, and the index lists
//! all of them.

use std::{collections::BTreeSet, fs};

use crate::{assert_none, files};

const FOLDER: &str = "docs/decisions";

/// A record: the name of its file, its number and its title.
struct Record {
    file: String,
    number: String,
    title: String,
}

/// Reads all records. Panics with every record that has no proper head.
fn records() -> Vec<Record> {
    let (mut records, mut violations) = (Vec::new(), Vec::new());
    for file in files::below(FOLDER, |path| path.ends_with(".md") && !path.ends_with("README.md")) {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut lines = file.text.lines();
        let heading = lines.next().and_then(|line| line.strip_prefix("# ")?.split_once(": "));
        let status = lines.nth(1).unwrap_or_default();
        let date = status.split_once(" · Date: ").map(|(_, date)| date.get(..10).unwrap_or(date));
        let is_dated = date.is_some_and(|date| date.parse::<jiff::civil::Date>().is_ok());
        match heading {
            Some((number, title))
                if name.starts_with(&format!("{number}-"))
                    && status.starts_with("Status: ")
                    && is_dated =>
            {
                records.push(Record {
                    file: name,
                    number: number.to_owned(),
                    title: title.to_owned(),
                });
            }
            _ => violations.push(name),
        }
    }
    assert_none("a record begins with `# NNNN: Title` and `Status: … · Date: …`", &violations);
    records
}

/// With `UPDATE_README=1` the index is written instead of compared.
#[test]
fn index_lists_every_decision() {
    let mut index = "# Decisions\n\nWhy things are as they are. Written by \
        `UPDATE_README=1 cargo test -p oprc-tests --test tidy`.\n\n| number | decision |\n|---|---|\n"
        .to_owned();
    for Record { file, number, title } in records() {
        index.push_str(&format!("| [{number}]({file}) | {title} |\n"));
    }
    let path = files::root().join(FOLDER).join("README.md");
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, index).unwrap();
        return;
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(index == stored, "{FOLDER}/README.md is behind: run this with UPDATE_README=1");
}

/// Links to records, from pages and code, lead to files that exist.
#[test]
fn links_to_decisions_lead_to_records() {
    let known: BTreeSet<String> = records().into_iter().map(|record| record.file).collect();
    let mut violations = Vec::new();
    for file in files::below("", |path| path.ends_with(".md") || path.ends_with(".rs")) {
        let in_folder = file.path.starts_with(FOLDER);
        for (start, _) in file.text.match_indices(".md") {
            let before = &file.text[..start];
            let name_start = before.rfind(['/', '(', ' ', '`']).map_or(0, |at| at + 1);
            let name = format!("{}.md", &before[name_start..]);
            let is_record = name.split_once('-').is_some_and(|(number, _)| {
                number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())
            });
            let is_link = in_folder || before[..name_start].ends_with("decisions/");
            if is_record && is_link && !known.contains(&name) {
                violations.push(format!("{}: {name}", file.path));
            }
        }
    }
    assert_none("no such record", &violations);
}
