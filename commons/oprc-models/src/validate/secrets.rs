//! Secrets of functions: named, not written down.

use std::collections::BTreeMap;

use super::{MAX_ENTRIES, report::Report};
use crate::{pointer::key, secret::SecretRef, text::Quoted};

/// What the name of a variable says that holds a secret, in upper case.
const WORDS: &[&str] =
    &["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "CREDENTIALS"];

/// Pairs of words that say so together.
const PAIRS: &[(&str, &str)] =
    &[("API", "KEY"), ("ACCESS", "KEY"), ("PRIVATE", "KEY"), ("SIGNING", "KEY")];

/// What such a name ends with where the variable is about a secret and is none.
const HARMLESS: &[&str] = &[
    "FILE", "PATH", "DIR", "NAME", "URL", "TTL", "SECS", "SECONDS", "MS", "COUNT", "LIMIT", "MAX",
    "MIN", "LENGTH", "ENABLED", "TYPE", "POLICY", "ISSUER", "AUDIENCE",
];

/// Variables that are secrets, beside those that are not: none is both.
pub(super) fn check(
    report: &mut Report,
    at: &str,
    secrets: &BTreeMap<String, SecretRef>,
    config: &BTreeMap<String, String>,
) {
    report.count(at, secrets.len(), MAX_ENTRIES);
    for name in secrets.keys() {
        let place = key(at, name);
        report.word(&place, name);
        if name.contains(['=', ' ']) {
            report.add(&place, format_args!("{} is not a variable's name", Quoted(name)));
        }
        if config.contains_key(name) {
            let message = format_args!("{} is in config too: want it in one", Quoted(name));
            report.add(&place, message);
        }
    }
}

/// Says of which variables the names promise a secret. Never what they hold.
pub(super) fn advise(report: &mut Report, at: &str, config: &BTreeMap<String, String>) {
    for (name, value) in config {
        if report.is_full() {
            return;
        }
        if !value.is_empty() && is_secret(name) {
            let message = format_args!(
                "{} sounds like a secret, and whoever may read this document reads it: keep it on \
                 the cluster, and name it under secrets",
                Quoted(name)
            );
            report.add(key(at, name), message);
        }
    }
}

/// Whether a variable of this name holds a secret, as far as a name can say.
fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    if words.last().is_some_and(|last| HARMLESS.contains(last)) {
        return false;
    }
    let is_pair = |pair: &[&str]| matches!(pair, [one, two] if PAIRS.contains(&(*one, *two)));
    words.iter().any(|word| WORDS.contains(word) || *word == "APIKEY")
        || words.windows(2).any(is_pair)
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names_that_promise_a_secret() {
        for name in [
            "PASSWORD",
            "DB_PASSWORD",
            "db-password",
            "API_TOKEN",
            "CLIENT_SECRET",
            "api.key",
            "AWS_SECRET_ACCESS_KEY",
            "PRIVATE_KEY",
            "APIKEY",
            "CREDENTIALS",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "KEY",
            "PRIMARY_KEY",
            "TOKENIZER",
            "MAX_TOKENS",
            "TOKEN_TTL",
            "PASSWORD_FILE",
            "SECRET_NAME",
            "TOKEN_URL",
            "LOG_LEVEL",
            "SECRETARY",
            "",
            "_",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
