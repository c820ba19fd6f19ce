//! Any bytes as a frame of the log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hook_log::fuzz::frame(bytes));
