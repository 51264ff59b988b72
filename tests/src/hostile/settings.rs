//! The environment.

use std::collections::BTreeMap;

use oprc_config::{cli, crm, pm};

use super::choose;

/// Reads the bytes as the environment of one of the programs: a `NAME=value` in each line. Every
/// refusal names a variable.
pub fn settings(input: &[u8]) {
    let (program, bytes) = choose(input, 3);
    let text = String::from_utf8_lossy(bytes);
    let variables: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mistakes = match program {
        0 => pm::Config::parse(variables).err(),
        1 => crm::Config::parse(variables).err(),
        _ => cli::Config::parse(variables).err(),
    };
    if let Some(mistakes) = mistakes {
        assert!(mistakes.iter().next().is_some(), "refused without a reason");
        assert!(!mistakes.to_string().is_empty(), "refused without words");
    }
}
