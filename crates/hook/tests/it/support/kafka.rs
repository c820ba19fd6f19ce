//! The broker that `cargo xtask test` started, as the tests of the binary use it.

use std::sync::atomic::{AtomicU32, Ordering};

use hook_broker::Jars;

use super::Hook;

/// A name that no other test, and no earlier run, has used.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    #[expect(clippy::disallowed_methods, reason = "a name that no earlier run has used")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    format!("t{now}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new topic on the shared broker.
pub(crate) fn topic(partitions: u32) -> String {
    let name = unique();
    create(&hook_broker::shared(), &name, partitions);
    name
}

/// A new topic on any broker.
pub(crate) fn create(bootstrap: &str, name: &str, partitions: u32) {
    let partitions = partitions.to_string();
    let args = ["--bootstrap-server", bootstrap, "--create", "--topic", name, "--partitions", &partitions];
    Jars::of_tests().unwrap().run("org.apache.kafka.tools.TopicCommand", &args, "").unwrap();
}

/// The environment of a seed that opts in to plaintext, towards the shared broker.
pub(crate) fn open(hook: &mut Hook) {
    hook.set_variable("KAFKA_BROKERS", &hook_broker::shared());
    hook.set_variable("KAFKA_SECURITY_PROTOCOL", "plaintext");
    hook.set_variable("KAFKA_ALLOW_PLAINTEXT", "true");
}
