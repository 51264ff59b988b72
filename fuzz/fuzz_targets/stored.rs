//! See `oprc_tests::hostile::stored`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| oprc_tests::hostile::stored(input));
