//! Kafka's own tools, as the tests use them, on a topic named `t`.

use hook_broker::Kafka;

pub(crate) const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
pub(crate) const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
pub(crate) const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
pub(crate) const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

/// Stores these lines, each acknowledged by all who must have it.
pub(crate) fn produce(kafka: &Kafka, lines: &[&str]) {
    let args = ["--topic", "t", "--command-property", "acks=all"];
    kafka.tool(PRODUCER, &args, &(lines.join("\n") + "\n")).unwrap();
}

/// Everything stored, sorted.
pub(crate) fn stored(kafka: &Kafka, count: usize) -> Vec<String> {
    let count = count.to_string();
    let args = ["--topic", "t", "--from-beginning", "--max-messages", &count, "--timeout-ms", "20000"];
    let printed = kafka.tool(CONSUMER, &args, "").unwrap();
    let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
