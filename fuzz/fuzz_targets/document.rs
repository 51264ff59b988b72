//! See `oprc_tests::hostile::document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| oprc_tests::hostile::document(input));
