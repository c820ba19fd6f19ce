//! The log against a real Apache Kafka, whose address is in `HOOK_TEST_KAFKA`.

mod log;
mod support;
