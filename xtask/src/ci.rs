//! `cargo xtask ci`: everything that must hold before a change is landed.
//!
//! Every step runs even when an earlier one failed, so that one run shows all
//! there is to mend. The last line is the sum of the tests, and nothing else.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{commands, contracts, deploy, repo, test, tidy};

/// One step: its name, how long it took, what came of it.
struct Step {
    name: &'static str,
    took: Duration,
    outcome: Result<()>,
}

pub(crate) fn run(services: &test::Services) -> Result<()> {
    let mut summary = test::Summary::default();
    let steps = [
        step("format", || repo::run(&mut repo::cargo(["fmt", "--all", "--check"]))),
        step("tidy", tidy::run),
        step("clippy", clippy),
        step("docs", docs),
        step("contracts", contracts::check),
        step("commands", commands::check),
        step("deploy", || deploy::check(&mut summary.left_out)),
        step("tests", || test::with_services(services, &[], &mut summary)),
    ];
    report(&steps);
    println!("{summary}");
    if steps.iter().any(|step| step.outcome.is_err()) {
        std::process::exit(1);
    }
    Ok(())
}

fn step(name: &'static str, work: impl FnOnce() -> Result<()>) -> Step {
    println!("== {name}");
    let started = Instant::now();
    let outcome = work();
    let took = started.elapsed();
    match &outcome {
        Ok(()) => println!("== {name}: ok, {:.1} s", took.as_secs_f64()),
        Err(error) => println!("== {name}: failed, {:.1} s: {error:#}", took.as_secs_f64()),
    }
    Step { name, took, outcome }
}

fn report(steps: &[Step]) {
    println!("\nstep        seconds  outcome");
    for Step { name, took, outcome } in steps {
        let outcome = outcome.as_ref().map_or_else(|error| format!("failed: {error}"), |()| "ok".into());
        println!("{name:<10} {:>8.1}  {outcome}", took.as_secs_f64());
    }
    println!();
}

fn clippy() -> Result<()> {
    repo::run(&mut repo::cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn docs() -> Result<()> {
    let mut doc = repo::cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
    repo::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
