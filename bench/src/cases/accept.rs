//! How many events a second are accepted, that is: durable, beside the baseline.
//!
//! Rounds of the two alternate, so that a slow moment of the machine meets both;
//! the median round counts.

use anyhow::Result;

use super::{Bench, closed, ms, per_second};
use crate::{process::Process, report::Report, stats};

const CONNECTIONS: [u64; 3] = [1, 16, 128];
const TARGET: f64 = 0.8;

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let home = bench.hook("accept")?;
    let hook = home.run(&[]).await?;
    let baseline = bench.baseline().await?;
    for connections in CONNECTIONS {
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut p99 = (String::new(), String::new());
        for _ in 0..bench.full_or(5, 3) {
            let (rate, bare_tail) = round(bench, &baseline, connections).await?;
            theirs.push(rate);
            let (rate, tail) = round(bench, &hook, connections).await?;
            ours.push(rate);
            ratios.push(rate / theirs[theirs.len() - 1]);
            p99 = (tail, bare_tail);
        }
        let (ours, theirs, ratio) =
            (stats::median(&mut ours), stats::median(&mut theirs), stats::median(&mut ratios));
        let what = format!("durable accepts, {connections} connections: {:.2} of the baseline", ratio);
        let measured = format!("{}, p99 {}", per_second(ours), p99.0);
        let beside = format!("baseline {}, p99 {}", per_second(theirs), p99.1);
        report.row("accept", what, (measured, beside), ("≥ 0.8", ratio >= TARGET));
    }
    hook.stop().await
}

/// The rate, and the last round's 99th percentile.
async fn round(bench: &Bench, process: &Process, connections: u64) -> Result<(f64, String)> {
    let outcome = closed(process, connections, bench.seconds(10, 2)).run().await?.all_accepted()?;
    let p99 = ms(stats::percentile(&outcome.latencies, 0.99)) + &outcome.sent_back();
    Ok((stats::rate(outcome.accepted(), outcome.took), p99))
}
