//! A million events wait for a destination that is not there: memory, and how long
//! a start takes over them.

use anyhow::Result;

use super::{Bench, closed, per_second};
use crate::{load::Until, process::Process, report::Report, sink::Sink, stats};

const MEMORY: u64 = 60 << 20;
const START_MILLIS: f64 = 200.0;

pub(super) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let waiting = bench.full_or(1_000_000, 100_000);
    let sink = Sink::dead().await?;
    let home = bench.hook("waiting")?;
    let hook = home.run(&[sink.address]).await?;
    let (idle, _) = hook.memory()?;
    let outcome = closed(&hook, 64, Until::Sent(waiting)).run().await?.all_accepted()?;
    let rate = per_second(stats::rate(outcome.accepted(), outcome.took)) + &outcome.sent_back();
    report.note("waiting", format!("accepting {waiting} while the only destination is dead"), rate);
    let (now, highest) = hook.memory()?;
    report.row(
        "waiting",
        format!("resident memory with {waiting} events waiting"),
        (mib(now), format!("{} when idle, {} at its highest", mib(idle), mib(highest))),
        ("≤ 60 MiB", now <= MEMORY),
    );
    hook.stop().await?;

    let hook = home.run(&[sink.address]).await?;
    start(report, &format!("start with {waiting} stored, after a clean stop"), &hook);
    hook.crash()?;
    let hook = home.run(&[sink.address]).await?;
    start(report, &format!("start with {waiting} stored, after a crash"), &hook);
    let (now, _) = hook.memory()?;
    report.note("waiting", "resident memory after that start", mib(now));
    hook.stop().await
}

fn start(report: &mut Report, what: &str, hook: &Process) {
    let took = stats::millis(hook.started_in);
    let measured = (format!("{took:.0} ms to `GET /ready` 200"), String::new());
    report.row("waiting", what, measured, ("≤ 200 ms", took <= START_MILLIS));
}

fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}
