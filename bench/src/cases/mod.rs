//! The cases, in the order of the table.
//!
//! Each is a file with one `run`. A case starts what it needs in a fresh directory
//! and ends it; a case that cannot be measured is a row that says why, and the
//! others go on.

mod accept;
mod dead;
mod drain;
mod fanout;
mod kafka;
mod latency;
mod stored;
mod waiting;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    hook::Hook,
    load::{Load, Until},
    payload,
    process::{self, Process},
    report::Report,
    stats,
};

/// The cases by name.
pub(crate) const NAMES: [&str; 8] =
    ["accept", "latency", "dead", "drain", "waiting", "stored", "fanout", KAFKA];
/// The one that needs brokers, and runs only when it is named.
const KAFKA: &str = "kafka";

/// What the cases share.
pub(crate) struct Bench {
    hook: PathBuf,
    data: PathBuf,
    quick: bool,
    stored: u64,
    kafka_jars: Option<PathBuf>,
    /// One 1 KiB append with its `fdatasync`: median and 99th percentile.
    fsync: (Duration, Duration),
}

impl Bench {
    pub(crate) fn new(args: &crate::Args) -> Result<Self> {
        if !args.hook.is_file() {
            bail!("`{}` is not there; run `cargo xtask bench`, which builds it", args.hook.display());
        }
        std::fs::create_dir_all(&args.data)
            .with_context(|| format!("cannot make `{}`", args.data.display()))?;
        let hook = args.hook.canonicalize()?;
        let data = args.data.canonicalize()?;
        let stored = args.stored.unwrap_or(if args.quick { 200_000 } else { 10_000_000 });
        let fsync = fsync(&data)?;
        let kafka_jars = args.kafka_jars.clone();
        Ok(Self { hook, data, quick: args.quick, stored, kafka_jars, fsync })
    }

    /// A value for the full run, or for the quick one.
    fn full_or<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    fn seconds(&self, full: u64, quick: u64) -> Until {
        Until::Elapsed(Duration::from_secs(self.full_or(full, quick)))
    }

    fn hook(&self, case: &str) -> Result<Hook> {
        Hook::new(&self.hook, self.data.join(case))
    }

    async fn baseline(&self) -> Result<Process> {
        let address = process::free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["baseline", "--bind", &address.to_string(), "--file"])
            .arg(self.data.join("baseline.log"));
        Process::start(command, address, "/").await
    }
}

/// Runs the cases that were asked for; all of them when none was.
pub(crate) async fn run(bench: &Bench, named: &[String]) -> Result<Report> {
    let mut report = Report::default();
    describe(bench, &mut report);
    for name in NAMES {
        let wanted = if named.is_empty() { name != KAFKA } else { named.iter().any(|one| one == name) };
        if !wanted {
            continue;
        }
        let outcome = match name {
            "accept" => accept::run(bench, &mut report).await,
            "latency" => latency::run(bench, &mut report).await,
            "dead" => dead::run(bench, &mut report).await,
            "drain" => drain::run(bench, &mut report).await,
            "waiting" => waiting::run(bench, &mut report).await,
            "stored" => stored::run(bench, &mut report).await,
            "fanout" => fanout::run(bench, &mut report).await,
            _ => kafka::run(bench, &mut report).await,
        };
        if let Err(error) = outcome {
            report.row(name, "could not be measured", (format!("{error:#}"), String::new()), ("", false));
        }
    }
    // Whatever a failed case left behind is emptied by its next run.
    let _ = std::fs::remove_file(bench.data.join("baseline.log"));
    Ok(report)
}

fn describe(bench: &Bench, report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    report.machine("cores, shared by hook, sender and receivers", cores.to_string());
    let (p50, p99) = bench.fsync;
    let fsync = format!("{} at p50, {} at p99", ms(p50), ms(p99));
    report.machine("one 1 KiB append with `fdatasync`", fsync);
    report.machine("payload", format!("{} bytes", payload::BYTES));
    report.machine("run", bench.full_or("full", "quick"));
}

/// A closed loop over this many connections.
fn closed(to: &Process, connections: u64, until: Until) -> Load {
    Load { to: to.address, connections, bytes: payload::BYTES, until, rate: None }
}

/// An open loop at this rate, with connections to spare.
fn open(to: &Process, rate: f64, until: Until) -> Load {
    Load { rate: Some(rate), ..closed(to, 64, until) }
}

/// One append with its `fdatasync`, many times, into a file allocated ahead.
fn fsync(folder: &Path) -> Result<(Duration, Duration)> {
    use std::io::Write;
    const TIMES: usize = 1000;
    let path = folder.join("fsync");
    let mut file = std::fs::File::create(&path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, (TIMES * payload::BYTES) as u64)?;
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        file.write_all(&[7; payload::BYTES])?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    took.sort_unstable();
    Ok((stats::percentile(&took, 0.5), stats::percentile(&took, 0.99)))
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", stats::millis(duration))
}

fn per_second(rate: f64) -> String {
    format!("{rate:.0}/s")
}

/// Processor time for one event.
fn micros_each(spent: Duration, events: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let events = events.max(1) as f64;
    spent.as_secs_f64() * 1e6 / events
}

/// `+3.1 %` from `before` to `after`.
fn change(before: f64, after: f64) -> f64 {
    (after / before - 1.0) * 100.0
}
