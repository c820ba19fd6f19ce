//! The broker that `cargo xtask test` started, as the tests of the binary use it.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

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

/// Runs `kcat` on the shared broker with this input, and returns what it printed.
pub(crate) fn kcat(args: &[&str], input: &str) -> String {
    let mut command = Command::new("kcat");
    command.args(["-b", &hook_broker::shared()]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut kcat = command.spawn().expect("`kcat` is installed (`apt-get install kcat`)");
    kcat.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = kcat.wait_with_output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
