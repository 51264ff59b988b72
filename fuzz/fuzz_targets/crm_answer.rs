//! See `oprc_tests::hostile::crm_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| oprc_tests::hostile::crm_answer(input));
