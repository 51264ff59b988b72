//! What every source file has, and what none has.

use crate::{assert_none, files};

/// The longest source file, in lines; files of tests may be longer.
const MAX_LINES: usize = 500;

#[test]
fn every_file_says_what_it_is() {
    let files = files::rust();
    assert!(files.len() > 20, "the workspace was not found");
    // `tests.rs` holds the tests of the file beside it, which says what it is.
    let is_silent =
        |file: &&files::File| !file.text.starts_with("//! ") && !file.path.ends_with("/tests.rs");
    let silent = files.iter().filter(is_silent);
    let violations: Vec<_> = silent.map(|file| file.path.clone()).collect();
    assert_none("a file begins with `//!` and what it is", &violations);
}

#[test]
fn no_file_is_long() {
    let files = files::rust();
    let long = files.iter().filter(|file| !file.is_test() && file.text.lines().count() > MAX_LINES);
    let violations: Vec<_> =
        long.map(|file| format!("{}: {} lines", file.path, file.text.lines().count())).collect();
    assert_none("at most 500 lines outside tests", &violations);
}

/// Lines of all Rust files with one of `patterns`, outside comments, where `is_judged`.
fn lines_with(patterns: &[&str], is_judged: impl Fn(&files::File) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files::rust().iter().filter(|file| is_judged(file)) {
        for (i, line) in file.text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && patterns.iter().any(|pattern| line.contains(pattern)) {
                found.push(format!("{}:{}: {}", file.path, i + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn a_lint_is_silenced_with_a_reason() {
    // Written apart, so that this file does not hold them itself.
    let allow = [concat!("#[al", "low("), concat!("#![al", "low(")];
    assert_none("use #[expect(…, reason = …)]", &lines_with(&allow, |_| true));
}

#[test]
fn no_test_is_ignored() {
    let ignore = [concat!("#[ig", "nore")];
    assert_none("run it, or delete it", &lines_with(&ignore, |_| true));
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let reads = [
        concat!("env::", "var"),
        concat!("option_", "env!"),
        // clap reads the environment itself, past every check of ours.
        concat!("(env", ")]"),
        concat!(" env", " = \""),
        concat!("(env", " = \""),
    ];
    let is_judged = |file: &files::File| {
        !file.is_test()
            && file.path != "commons/oprc-config/src/env.rs"
            && file.path != "xtask/src/env.rs"
            // It writes code that does, into copies that are built with bugs in them.
            && file.path != "xtask/src/mutations.rs"
    };
    assert_none("ask oprc-config", &lines_with(&reads, is_judged));
}

/// What is committed works anywhere: it names no folder of the machine that it was written on.
#[test]
fn no_file_names_a_folder_of_one_machine() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut violations = Vec::new();
    for file in files::below("", |path| !path.ends_with("Cargo.lock")) {
        for (i, line) in file.text.lines().enumerate() {
            let is_example = line.contains(concat!("/ho", "me/ada"));
            if !is_example && folders.iter().any(|folder| line.contains(folder)) {
                violations.push(format!("{}:{}: {}", file.path, i + 1, line.trim()));
            }
        }
    }
    assert_none("a path of one machine", &violations);
}
