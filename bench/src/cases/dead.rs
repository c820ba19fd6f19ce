//! One of three destinations is dead: what do the other two notice?
//!
//! The same load runs with all three alive (twice, to show how much two equal runs
//! differ), and then with the third refusing connections. At the end the third
//! comes back and must get everything, in order per key.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Bench, change, latency, ms, open, per_second};
use crate::{process::Process, report::Report, sink::Sink, stats};

const TARGET: f64 = 5.0;

/// What the two that live got.
struct Run {
    rate: f64,
    p99: Duration,
    accepted: u64,
}

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut sinks = [Sink::start().await?, Sink::start().await?, Sink::start().await?];
    let home = bench.hook("dead")?;
    let hook = home.run(&sinks.each_ref().map(|sink| sink.address)).await?;
    let rate = latency::capacity(&hook, 16, &sinks.each_ref(), bench.seconds(10, 3)).await? / 2.0;

    let first = load(bench, &hook, &sinks, rate).await?;
    sinks[2].wait_for(first.accepted, Duration::from_secs(60)).await?;
    let alive = load(bench, &hook, &sinks, rate).await?;
    sinks[2].wait_for(alive.accepted, Duration::from_secs(60)).await?;
    sinks[2].kill();
    let dead = load(bench, &hook, &sinks, rate).await?;
    compare(report, bench, (&first, &alive, &dead));

    let missed = dead.accepted;
    let revived = tokio::time::Instant::now();
    sinks[2].revive().await?;
    let counts = sinks[2].wait_for(missed, Duration::from_secs(400)).await?;
    let took = counts.last.map_or(Duration::ZERO, |last| last - revived);
    report.row(
        "dead",
        format!("the third catches up with {missed} events, in order per key"),
        (
            format!("{:.1} s after it is back", took.as_secs_f64()),
            format!("{} out of order, {} again", counts.out_of_order, counts.again),
        ),
        ("in order", counts.out_of_order == 0),
    );
    hook.stop().await
}

/// One run; the worse of the two living sinks counts.
async fn load(bench: &Bench, hook: &Process, sinks: &[Sink; 3], rate: f64) -> Result<Run> {
    for sink in sinks {
        sink.forget();
    }
    let begun = tokio::time::Instant::now();
    let outcome = open(hook, rate, bench.seconds(60, 8)).run().await?.all_accepted()?;
    let mut run = Run { rate: f64::MAX, p99: Duration::ZERO, accepted: outcome.accepted() };
    for sink in &sinks[..2] {
        let counts = sink.wait_for(run.accepted, Duration::from_secs(60)).await?;
        let Some(last) = counts.last else { bail!("nothing was delivered") };
        run.rate = run.rate.min(stats::rate(counts.events, last - begun));
        run.p99 = run.p99.max(latency::answer_to_arrival(&outcome, sink).1);
    }
    Ok(run)
}

fn compare(report: &mut Report, bench: &Bench, (first, alive, dead): (&Run, &Run, &Run)) {
    let (slower, later) =
        (change(alive.rate, dead.rate), change(alive.p99.as_secs_f64(), dead.p99.as_secs_f64()));
    let noise = change(first.p99.as_secs_f64(), alive.p99.as_secs_f64());
    let seconds = bench.full_or(60, 8);
    report.row(
        "dead",
        format!("the other two's throughput, {seconds} s: {slower:+.1} %"),
        (per_second(dead.rate), format!("{} with all alive", per_second(alive.rate))),
        ("≥ −5 %", slower >= -TARGET),
    );
    report.row(
        "dead",
        format!("the other two's p99 from answer to delivered: {later:+.1} %"),
        (ms(dead.p99), format!("{} with all alive ({noise:+.1} % between two such runs)", ms(alive.p99))),
        ("≤ +5 %", later <= TARGET),
    );
}
