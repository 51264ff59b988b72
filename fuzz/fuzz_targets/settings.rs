//! See `oprc_tests::hostile::settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| oprc_tests::hostile::settings(input));
