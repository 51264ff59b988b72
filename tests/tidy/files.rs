//! The files of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file: its path from the root of the workspace, and what is in it.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// Whether it holds tests: what it does is seen by nobody but a developer.
    pub(crate) fn is_test(&self) -> bool {
        let parts: Vec<_> = self.path.split('/').collect();
        parts.iter().any(|part| matches!(*part, "tests" | "testing" | "benches" | "tests.rs"))
    }

    /// The folder of its crate, `commons/oprc-models` for example.
    pub(crate) fn package(&self) -> &str {
        self.path.split_once("/src/").map_or("", |(package, _)| package)
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every file below `folder` (from the root) that `is_wanted` by its path, in the order of paths.
pub(crate) fn below(folder: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if is_wanted(&name) {
            // Pictures and the like are no text.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            files.push(File { path: name, text });
        }
    }
    files
}

/// Every Rust file of the workspace.
pub(crate) fn rust() -> Vec<File> {
    let folders = ["commons", "controllers", "control-plane", "tests", "xtask"];
    folders.into_iter().flat_map(|folder| below(folder, |path| path.ends_with(".rs"))).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // What is built or stored is not ours; `.git` holds what once was.
        let is_skipped = name == ".git"
            || path.is_dir() && (name.starts_with("target") || name.ends_with("-data"));
        // In a worktree `.git` is a file.
        if is_skipped {
            continue;
        }
        if path.is_dir() {
            walk(&path, paths);
        } else {
            paths.push(path);
        }
    }
}
