//! Hostile input: what the fuzzer found worth keeping, and variations of it that a seed decides.
//!
//! `cargo xtask fuzz` looks for more.

#![expect(clippy::unwrap_used, reason = "a test's helper fails by panicking")]

use std::{fs, path::Path};

use fastrand::Rng;
use oprc_tests::hostile::{TARGETS, Target};

/// The largest input that is tried; what a limit of a megabyte does is tested where it is set.
const MAX_BYTES: usize = 16 << 10;

/// What parsers trip over.
const WORDS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\n",
    b"- ",
    b"&a ",
    b"*a",
    b"!!str ",
    b"<<: ",
    b"null",
    b"1e999",
    b"-0",
    b"\\u0000",
    b"\xff\xfe",
    b"\xf0\x9f\x92\xa9",
    b"\xe2\x80\xae",
    b"%00",
    b"../",
    b"\r\n\r\n",
    b"data: ",
];

/// Feeds the corpus of the target `name`, then `n` variations of it.
fn feed(name: &str, n: usize) {
    let target = TARGETS.into_iter().find(|target| target.name == name).expect("a target's name");
    let corpus = corpus(&target);
    assert!(!corpus.is_empty(), "the corpus of {name} is empty");
    for input in &corpus {
        (target.feed)(input);
    }
    let mut rng = Rng::with_seed(0);
    for _ in 0..n {
        let mut input = corpus[rng.usize(..corpus.len())].clone();
        for _ in 0..rng.usize(1..6) {
            vary(&mut input, &corpus[rng.usize(..corpus.len())], &mut rng);
        }
        input.truncate(MAX_BYTES);
        (target.feed)(&input);
    }
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Changes `input` in one of the ways that parsers are known to trip over.
fn vary(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let part = |of: &[u8], rng: &mut Rng| {
        let start = rng.usize(..=of.len());
        let end = (start + rng.usize(..64)).min(of.len());
        of[start..end].to_vec()
    };
    match rng.u8(0..6) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(0..8),
        1 => drop(input.splice(at..at, WORDS[rng.usize(..WORDS.len())].iter().copied())),
        2 => drop(input.splice(at..at, part(other, rng))),
        3 => {
            let own = part(input, rng).repeat(rng.usize(1..20));
            input.splice(at..at, own);
        }
        4 => {
            let end = (at + rng.usize(..16)).min(input.len());
            input.drain(at..end);
        }
        _ => input.truncate(at),
    }
}

#[test]
fn documents_are_read_or_refused() {
    feed("document", 4000);
}

#[test]
fn requests_are_answered() {
    feed("request", 2000);
}

#[test]
fn settings_are_read_or_refused() {
    feed("settings", 2000);
}

#[test]
fn a_call_ends_whatever_a_crm_answers() {
    feed("crm_answer", 300);
}

#[test]
fn stored_values_are_read_or_kept_apart() {
    feed("stored", 600);
}
