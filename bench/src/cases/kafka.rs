//! All three roles on a log in Kafka, beside one process on the embedded log, and
//! beside what Kafka's own load generator gets into the same broker.
//!
//! Runs only when it is named: `cargo xtask bench kafka`. The generator sends records
//! of the size that ours have, with `acks=all`; it is a Java program with a producer
//! and nothing else, `hook serve` reads HTTP and verifies before it produces.

use std::time::Duration;

use anyhow::{Context, Result};
use hook_broker::{Jars, Kafka, Options};

use super::{Bench, closed, latency, ms, open, per_second};
use crate::{load::Until, process::Process, report::Report, sink::Sink, stats};

const CONNECTIONS: u64 = 128;

/// What is measured of each way.
struct Figures {
    accepted: f64,
    through: f64,
    p50: Duration,
    p99: Duration,
}

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let jars =
        bench.kafka_jars.as_ref().context("`--kafka-jars` is not given; use `cargo xtask bench kafka`")?;
    let jars = Jars::at(jars)?;

    let sink = Sink::start().await?;
    let home = bench.hook("kafka-embedded")?;
    let hook = home.run(&[sink.address]).await?;
    let embedded = measure(bench, &hook, &sink).await?;
    hook.stop().await?;

    // As it would run in production: with the compiler that the tests leave out.
    let options = Options::single_node().java("-XX:TieredStopAtLevel=4").java("-Xmx1g");
    let kafka = Kafka::start_with(jars.clone(), options)?;
    let sink = Sink::start().await?;
    let home = bench.hook("kafka")?;
    let roles = home.run_roles(&kafka.bootstrap(), sink.address).await?;
    let ours = measure(bench, &roles.serve, &sink).await?;
    roles.stop().await?;
    let bytes = record_bytes(&kafka)?;
    let theirs = perf_test(&jars, &kafka, bytes, bench.full_or(500_000, 100_000))?;

    report.machine(
        "Apache Kafka",
        format!("{}, one node, 3 partitions, records of {bytes} bytes", jars.version()),
    );
    report.note_beside(
        "kafka",
        format!(
            "accepted by `hook serve`, {CONNECTIONS} connections: {:.2} of perf-test",
            ours.accepted / theirs
        ),
        per_second(ours.accepted),
        format!(
            "kafka-producer-perf-test {}; embedded {}",
            per_second(theirs),
            per_second(embedded.accepted)
        ),
    );
    report.note_beside(
        "kafka",
        format!("through serve, relay and smash: {:.2} of embedded", ours.through / embedded.through),
        per_second(ours.through),
        format!("embedded {}", per_second(embedded.through)),
    );
    report.note_beside(
        "kafka",
        "answer to delivered at half of that",
        format!("p50 {}, p99 {}", ms(ours.p50), ms(ours.p99)),
        format!("embedded p50 {}, p99 {}", ms(embedded.p50), ms(embedded.p99)),
    );
    Ok(())
}

async fn measure(bench: &Bench, process: &Process, sink: &Sink) -> Result<Figures> {
    // The first events wait until whoever reads has joined its group.
    let first = closed(process, 1, Until::Sent(10)).run().await?.all_accepted()?;
    sink.wait_for(first.accepted(), Duration::from_secs(60)).await?;
    sink.forget();

    let outcome = closed(process, CONNECTIONS, bench.seconds(10, 3)).run().await?.all_accepted()?;
    let accepted = stats::rate(outcome.accepted(), outcome.took);
    sink.wait_for(outcome.accepted(), Duration::from_secs(120)).await?;
    sink.forget();
    let through = latency::capacity(process, CONNECTIONS, &[sink], bench.seconds(10, 3)).await?;

    sink.forget();
    let outcome = open(process, through / 2.0, bench.seconds(30, 5)).run().await?.all_accepted()?;
    sink.wait_for(outcome.accepted(), Duration::from_secs(120)).await?;
    let (p50, p99) = latency::answer_to_arrival(&outcome, sink);
    Ok(Figures { accepted, through, p50, p99 })
}

/// The size of a record as it is stored.
fn record_bytes(kafka: &Kafka) -> Result<usize> {
    let args =
        ["--topic", "webhooks.core", "--from-beginning", "--max-messages", "1", "--timeout-ms", "20000"];
    let record = kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, "")?;
    let bytes = record.lines().map(str::len).max().unwrap_or_default();
    anyhow::ensure!(bytes > 0, "no record could be read back");
    Ok(bytes)
}

/// Records a second that Kafka's own generator gets acknowledged by all replicas.
fn perf_test(jars: &Jars, kafka: &Kafka, bytes: usize, records: u64) -> Result<f64> {
    kafka.tool(
        "org.apache.kafka.tools.TopicCommand",
        &["--create", "--topic", "perf", "--partitions", "3"],
        "",
    )?;
    let (bootstrap, records, bytes) = (kafka.bootstrap(), records.to_string(), bytes.to_string());
    let args = [
        "--bootstrap-server",
        &bootstrap,
        "--topic",
        "perf",
        "--num-records",
        &records,
        "--record-size",
        &bytes,
        "--throughput",
        "-1",
        "--command-property",
        "acks=all",
    ];
    let said = jars.run("org.apache.kafka.tools.ProducerPerformance", &args, "")?;
    let rate = said.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("records sent, ")?;
        rest.split_once(" records/sec")?.0.replace(',', ".").parse().ok()
    });
    rate.with_context(|| format!("its figures are not as expected: {said}"))
}
