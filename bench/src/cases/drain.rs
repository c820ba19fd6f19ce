//! How fast a backlog goes out once there is somebody to take it.
//!
//! The events are accepted while nobody wants them; then the process is started
//! again with a destination that begins at the beginning.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, closed, micros_each, per_second};
use crate::{load::Until, report::Report, sink::Sink, stats};

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let backlog = bench.full_or(100_000, 20_000);
    let home = bench.hook("drain")?;
    let hook = home.run(&[]).await?;
    closed(&hook, 64, Until::Sent(backlog)).run().await?.all_accepted()?;
    hook.stop().await?;

    let sink = Sink::start().await?;
    let hook = home.run(&[sink.address]).await?;
    let (begun, before) = (tokio::time::Instant::now(), hook.processor()?);
    let counts = sink.wait_for(backlog, Duration::from_secs(60)).await?;
    let took = counts.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(begun));
    let spent = hook.processor()?.saturating_sub(before);
    report.note(
        "drain",
        format!("a backlog of {backlog} to one destination ({} out of order)", counts.out_of_order),
        format!(
            "{:.1} s, {}, {:.0} µs of processor each",
            took.as_secs_f64(),
            per_second(stats::rate(backlog, took)),
            micros_each(spent, backlog)
        ),
    );
    hook.stop().await
}
