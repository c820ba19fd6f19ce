//! What a delivery costs with one destination, and with a hundred that all want
//! every event.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, change, closed, micros_each};
use crate::{load::Until, report::Report, sink::Sink};

const MANY: usize = 100;
const TARGET: f64 = 25.0;

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let deliveries = bench.full_or(200_000, 20_000);
    let one = cost(bench, 1, deliveries).await?;
    let many = cost(bench, MANY, deliveries).await?;
    let more = change(one, many);
    report.row(
        "fanout",
        format!("processor time for one delivery with {MANY} destinations: {more:+.1} %"),
        (format!("{many:.0} µs"), format!("{one:.0} µs with one")),
        ("flat: ≤ +25 %", more <= TARGET),
    );
    Ok(())
}

/// Microseconds of processor time for one delivery, accepting included.
async fn cost(bench: &Bench, destinations: usize, deliveries: u64) -> Result<f64> {
    let mut sinks = Vec::new();
    for _ in 0..destinations {
        sinks.push(Sink::start().await?);
    }
    let addresses: Vec<_> = sinks.iter().map(|sink| sink.address).collect();
    let home = bench.hook(&format!("fanout-{destinations}"))?;
    let hook = home.run(&addresses).await?;
    let events = deliveries / destinations as u64;
    let before = hook.processor()?;
    closed(&hook, 16, Until::Sent(events)).run().await?.all_accepted()?;
    for sink in &sinks {
        sink.wait_for(events, Duration::from_secs(60)).await?;
    }
    let spent = hook.processor()?.saturating_sub(before);
    hook.stop().await?;
    Ok(micros_each(spent, deliveries))
}
