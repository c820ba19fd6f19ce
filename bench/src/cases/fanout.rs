//! What a delivery costs with one destination, and with a hundred that all want
//! every event.
//!
//! Accepting is paid once however many want the event, so its cost, measured with
//! no destination, is taken off both.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, change, closed, micros_each};
use crate::{load::Until, report::Report, sink::Sink};

const MANY: usize = 100;
const TARGET: f64 = 25.0;

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let deliveries = bench.full_or(200_000, 20_000);
    let accepting = spent(bench, 0, deliveries).await?;
    let one = spent(bench, 1, deliveries).await?.saturating_sub(accepting);
    let events = deliveries / MANY as u64;
    let of_events = accepting * u32::try_from(events)? / u32::try_from(deliveries)?;
    let many = spent(bench, MANY, events).await?.saturating_sub(of_events);
    let (one, many) = (micros_each(one, deliveries), micros_each(many, deliveries));
    let more = change(one, many);
    report.row(
        "fanout",
        format!("processor time for one delivery with {MANY} destinations: {more:+.1} %"),
        (
            format!("{many:.0} µs"),
            format!("{one:.0} µs with one; {:.0} µs to accept", micros_each(accepting, deliveries)),
        ),
        ("flat: ≤ +25 %", more <= TARGET),
    );
    Ok(())
}

/// Processor time for this many events, accepted and delivered to each.
async fn spent(bench: &Bench, destinations: usize, events: u64) -> Result<Duration> {
    let mut sinks = Vec::new();
    for _ in 0..destinations {
        sinks.push(Sink::start().await?);
    }
    let addresses: Vec<_> = sinks.iter().map(|sink| sink.address).collect();
    let home = bench.hook(&format!("fanout-{destinations}"))?;
    let hook = home.run(&addresses).await?;
    let before = hook.processor()?;
    closed(&hook, 16, Until::Sent(events)).run().await?.all_accepted()?;
    for sink in &sinks {
        sink.wait_for(events, Duration::from_secs(60)).await?;
    }
    let spent = hook.processor()?.saturating_sub(before);
    hook.stop().await?;
    Ok(spent)
}
