//! See `apikey_operator_fuzz::line`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apikey_operator_fuzz::line::check(bytes));
