//! What an event costs when few are stored, and when many are.
//!
//! Cost is processor time of the process for one event, accepted and delivered;
//! throughput depends on the machine's mood, this hardly does. Payloads are small,
//! so that ten million fit on a disk.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, change, closed, micros_each, per_second};
use crate::{
    load::{Load, Until},
    process::Process,
    report::Report,
    sink::Sink,
    stats,
};

const FEW: u64 = 10_000;
const BYTES: usize = 256;
const TARGET: f64 = 25.0;

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let many = bench.stored;
    let sample = bench.full_or(50_000, 10_000);
    let sink = Sink::start().await?;
    let home = bench.hook("stored")?;
    let hook = home.run(&[sink.address]).await?;
    fill(&hook, &sink, FEW).await?;
    let few = cost(&hook, &sink, sample).await?;
    let filled = fill(&hook, &sink, many.saturating_sub(FEW + sample)).await?;
    report.note("stored", format!("end to end while storing {many} of {BYTES} bytes"), per_second(filled));
    let lot = cost(&hook, &sink, sample).await?;
    let more = change(few, lot);
    report.row(
        "stored",
        format!("processor time for one event with {many} stored: {more:+.1} %"),
        (format!("{lot:.0} µs"), format!("{few:.0} µs with {FEW} stored")),
        ("flat: ≤ +25 %", more <= TARGET),
    );
    hook.stop().await
}

/// Sends and waits until all is delivered, in pieces, so that the sink stays small.
async fn fill(hook: &Process, sink: &Sink, events: u64) -> Result<f64> {
    const PIECE: u64 = 100_000;
    let begun = tokio::time::Instant::now();
    let mut left = events;
    while left > 0 {
        let piece = left.min(PIECE);
        send(hook, sink, piece).await?;
        left -= piece;
    }
    Ok(stats::rate(events, begun.elapsed()))
}

/// Microseconds of processor time for one event.
async fn cost(hook: &Process, sink: &Sink, events: u64) -> Result<f64> {
    let before = hook.processor()?;
    send(hook, sink, events).await?;
    Ok(micros_each(hook.processor()?.checked_sub(before).context("time ran backwards")?, events))
}

async fn send(hook: &Process, sink: &Sink, events: u64) -> Result<()> {
    sink.forget();
    Load { bytes: BYTES, ..closed(hook, 32, Until::Sent(events)) }.run().await?.all_accepted()?;
    sink.wait_for(events, Duration::from_secs(60)).await.map(drop)
}
