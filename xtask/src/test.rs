//! `cargo xtask test`: the tests with the real inputs and services they need.
//!
//! Whatever a test needs is fetched or started here and handed to it in the
//! environment: `HOOK_TEST_OCTOKIT` (a file of real payloads), `HOOK_TEST_KAFKA`
//! (the bootstrap address of a real broker on loopback), `HOOK_TEST_KAFKA_LIBS`
//! (the jars, for tests with brokers of their own), `HOOK_TEST_OPENCLAW_URL` and
//! `HOOK_TEST_OPENCLAW_TOKEN` (a real gateway on loopback). A test that misses one fails and says so; leaving a service out is
//! a flag, and the summary says that it was given.

use std::{
    fmt,
    io::{BufRead, BufReader},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{fetch, kafka::Kafka, openclaw::Gateway, repo};

/// Tests whose path contains this need the gateway.
const OPENCLAW_TESTS: &str = "the_real_gateway";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    services: Services,
    /// Given to `cargo test`: `-p hook NAME -- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct Services {
    /// Leave out the tests against a real OpenClaw gateway (768 MB of npm packages)
    #[arg(long)]
    without_openclaw: bool,
}

/// The sums over all test binaries.
#[derive(Default)]
pub(crate) struct Summary {
    passed: u64,
    failed: u64,
    pub(crate) left_out: Vec<&'static str>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut summary = Summary::default();
    let outcome = with_services(&args.services, &args.cargo, &mut summary);
    if let Err(error) = &outcome {
        eprintln!("error: {error:#}");
    }
    println!("{summary}");
    if outcome.is_err() {
        std::process::exit(1);
    }
    Ok(())
}

/// Fetches, starts, runs `cargo test`, and ends what it started.
pub(crate) fn with_services(services: &Services, args: &[String], summary: &mut Summary) -> Result<()> {
    let mut environment = vec![("HOOK_TEST_OCTOKIT", fetch::octokit()?.display().to_string())];
    let kafka = Kafka::start(1)?;
    environment.extend(kafka.environment());
    let gateway = if services.without_openclaw {
        summary.left_out.push("the real OpenClaw gateway (`--without-openclaw`)");
        None
    } else {
        Some(Gateway::start()?)
    };
    environment.extend(gateway.iter().flat_map(Gateway::environment));
    cargo_test(args, gateway.is_none(), &environment, summary)
}

fn cargo_test(
    args: &[String],
    skip: bool,
    environment: &[(&str, String)],
    summary: &mut Summary,
) -> Result<()> {
    let mut command = repo::cargo(["test", "--no-fail-fast"]);
    if !args.iter().any(|arg| arg == "-p" || arg.starts_with("--package")) {
        command.arg("--workspace");
    }
    command.args(args);
    if skip {
        command.args(if args.iter().any(|arg| arg == "--") { &[][..] } else { &["--"] });
        command.args(["--skip", OPENCLAW_TESTS]);
    }
    let mut child = command
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::piped())
        .spawn()
        .context("`cargo test` could not be run")?;
    for line in BufReader::new(child.stdout.take().context("no output of `cargo test`")?).lines() {
        let line = line.context("the output of `cargo test` is not text")?;
        println!("{line}");
        summary.add(&line);
    }
    if child.wait()?.success() {
        return Ok(());
    }
    // A test binary that does not build or aborts prints no result of its own.
    summary.failed = summary.failed.max(1);
    bail!("`{}` failed", repo::show(&command))
}

impl Summary {
    /// Counts a line `test result: ok. 12 passed; 0 failed; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        self.passed += count(result, "passed");
        self.failed += count(result, "failed");
    }
}

/// The number before `word;`, as in `ok. 12 passed; 0 failed;`.
fn count(result: &str, word: &str) -> u64 {
    let parts = result.split([';', '.']).map(str::trim);
    parts.filter_map(|part| part.strip_suffix(word)?.trim().parse::<u64>().ok()).sum()
}

/// What was left out, line by line, and last the sums alone.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for what in &self.left_out {
            writeln!(f, "left out: {what}")?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_and_other_lines_are_not() {
        let mut summary = Summary::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s",
            "test a::b ... ok",
            "9 passed; 9 failed",
        ] {
            summary.add(line);
        }
        assert_eq!(summary.to_string(), "15 passed, 2 failed");
    }

    #[test]
    fn what_is_left_out_is_said_before_the_sums() {
        let summary = Summary { left_out: vec!["a service"], ..Summary::default() };
        assert_eq!(summary.to_string(), "left out: a service\n0 passed, 0 failed");
    }
}
