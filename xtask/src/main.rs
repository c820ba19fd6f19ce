//! The project's own commands: `cargo xtask ci|test|services|tidy|deploy|bench|fuzz`.
//!
//! Everything that a person or a machine runs against the whole repository is one
//! of these, so that both run the same thing. It builds in a few seconds: no
//! runtime, no sockets beyond std, nothing from the workspace.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod bench;
mod ci;
mod commands;
mod contracts;
mod deploy;
mod fetch;
mod fuzz;
mod kafka;
mod openclaw;
mod repo;
mod services;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything: format, clippy, tidy, docs, contracts, tests
    Ci(test::Services),
    /// The tests, with the real services and inputs that they need
    Test(test::Args),
    /// A service that the tests run against, in the foreground
    Services(services::Args),
    /// The rules that no compiler checks: crate edges, file openings and sizes, documents
    Tidy,
    /// The table of docs/performance.md, measured on this machine
    Bench(bench::Args),
    /// What is in `deploy/`, judged by systemd, hadolint and the schema of Compose
    Deploy,
    /// Each fuzz target for a while (needs cargo-fuzz and a nightly toolchain)
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Ci(services) => ci::run(&services),
        Command::Test(args) => test::run(&args),
        Command::Services(args) => services::run(&args),
        Command::Tidy => tidy::run(),
        Command::Bench(args) => bench::run(&args),
        Command::Deploy => deploy::run(),
        Command::Fuzz(args) => fuzz::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
