//! How long an event takes from its answer to its arrival, at half load.
//!
//! Load is half of what goes through from end to end, as a closed loop with the
//! same destination shows just before: the time until the last event arrived
//! counts, not the time until the last answer.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, closed, ms, open, per_second};
use crate::{
    load::{Outcome, Until},
    process::Process,
    report::Report,
    sink::Sink,
    stats,
};

const TARGET: Duration = Duration::from_millis(2);

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let sink = Sink::start().await?;
    let home = bench.hook("latency")?;
    let hook = home.run(&[sink.address]).await?;
    let capacity = capacity(&hook, 16, &[&sink], bench.seconds(10, 3)).await?;
    report.note("latency", "end to end with one destination, 16 connections", per_second(capacity));

    sink.forget();
    let load = open(&hook, capacity / 2.0, bench.seconds(30, 5));
    let outcome = load.run().await?.all_accepted()?;
    sink.wait_for(outcome.accepted(), Duration::from_secs(60)).await?;
    let (p50, p99) = answer_to_arrival(&outcome, &sink);
    let added = p99.saturating_sub(bench.fsync.1);
    report.row(
        "latency",
        format!("answer to delivered at {}, p99: {} over one fsync", per_second(capacity / 2.0), ms(added)),
        (
            format!("p50 {}, p99 {}", ms(p50), ms(p99)),
            format!("fsync p50 {}, p99 {}", ms(bench.fsync.0), ms(bench.fsync.1)),
        ),
        ("≤ 2 ms over", added <= TARGET),
    );
    let accepted = [0.5, 0.99].map(|share| ms(stats::percentile(&outcome.latencies, share)));
    let measured = format!("p50 {}, p99 {}", accepted[0], accepted[1]);
    report.note("latency", "from when an event was due to its answer, same run", measured);
    hook.stop().await
}

/// What goes through from end to end: events over the time until the last arrived.
pub(super) async fn capacity(hook: &Process, connections: u64, sinks: &[&Sink], until: Until) -> Result<f64> {
    let begun = tokio::time::Instant::now();
    let outcome = closed(hook, connections, until).run().await?.all_accepted()?;
    for sink in sinks {
        sink.wait_for(outcome.accepted(), Duration::from_secs(60)).await?;
    }
    Ok(stats::rate(outcome.accepted(), begun.elapsed()))
}

/// Median and 99th percentile; an event that came before its answer took no time.
pub(super) fn answer_to_arrival(outcome: &Outcome, sink: &Sink) -> (Duration, Duration) {
    let arrivals = outcome.answers.iter().filter_map(|answer| Some((sink.arrival(&answer.id)?, answer.at)));
    let mut took: Vec<Duration> =
        arrivals.map(|(arrived, answered)| arrived.saturating_duration_since(answered)).collect();
    took.sort_unstable();
    (stats::percentile(&took, 0.5), stats::percentile(&took, 0.99))
}
