#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt5_fuzz::decode(data));
