//! See `apikey_operator_fuzz::record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apikey_operator_fuzz::record::check(bytes));
