//! Any bytes as a log's last segment: recovery, verify and repair.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hook_log::fuzz::segment(bytes));
