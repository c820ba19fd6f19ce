//! Kafka's own tools, as the tests use them, on a topic named `t`; and the one
//! request that needs no tool.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

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

/// Sends `ApiVersions`, numbered 7.
pub(crate) fn ask(client: &mut TcpStream) {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    client.write_all(&request).unwrap();
}

/// The number of the answer, if one comes soon.
pub(crate) fn answer(client: &mut TcpStream) -> Option<u32> {
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut head = [0; 8];
    client.read_exact(&mut head).ok()?;
    Some(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
}
