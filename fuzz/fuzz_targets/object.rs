//! See `apikey_operator_fuzz::object`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| apikey_operator_fuzz::object::check(bytes));
