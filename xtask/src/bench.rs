//! `cargo xtask bench`: builds `hook` and the load generator for release and runs it.
//!
//! The generator is a program of its own (`bench/`), so that this one stays light.

use anyhow::Result;

use crate::{kafka, repo};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Given to the bench: `--quick`, `--json`, names of cases
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    bench: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    repo::run(&mut repo::cargo([
        "build",
        "--release",
        "--quiet",
        "--package",
        "hook",
        "--package",
        "bench",
    ]))?;
    let release = repo::target().join("release");
    let mut bench = std::process::Command::new(release.join("bench"));
    bench.arg("--hook").arg(release.join("hook")).args(&args.bench);
    if args.bench.iter().any(|arg| arg == "kafka") {
        bench.arg("--kafka-jars").arg(kafka::libs()?);
    }
    repo::run(&mut bench)
}
