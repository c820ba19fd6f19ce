//! What `cargo xtask bench` runs: the table of docs/performance.md, measured here.
//!
//! Every figure stands beside one from the same run: a bare server that does the
//! unavoidable minimum, one fsync, or the same case without what is being asked
//! about. Every case is bounded in count and in time, and speaks to 127.0.0.1 only.
//! What is deliberately not here: any code of `hook`. It is measured from outside.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod baseline;
mod cases;
mod hook;
mod load;
mod payload;
mod process;
mod report;
mod sink;
mod stats;
mod wire;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures hook beside a baseline", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The release binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/hook")]
    hook: PathBuf,
    /// Where the logs lie while measuring; the disk that counts
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    data: PathBuf,
    /// Small counts and short times: minutes instead of an hour
    #[arg(long)]
    quick: bool,
    /// Only these cases; all but `kafka` when none is named
    #[arg(value_name = "CASE", value_parser = cases::NAMES.to_vec())]
    cases: Vec<String>,
    /// The jars of Apache Kafka, for the case `kafka`
    #[arg(long, value_name = "DIR")]
    kafka_jars: Option<PathBuf>,
    /// Events stored before the costly half of the case `stored` [default: 10000000, quick 200000]
    #[arg(long, value_name = "N")]
    stored: Option<u64>,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The baseline server: reads the body, checks the HMAC, shares an fdatasync, answers 202
    #[command(hide = true)]
    Baseline(baseline::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.command {
        Some(Command::Baseline(baseline)) => baseline::run(baseline),
        None => measure(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench = cases::Bench::new(args)?;
    let report = runtime.block_on(cases::run(&bench, &args.cases))?;
    println!("{}", if args.json { report.json() } else { report.table() });
    Ok(())
}
