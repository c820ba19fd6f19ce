//! The `hook` binary: what the command line asks for, and which exit code it ends with.
//!
//! The only crate that reads the environment, prints, or composes the parts.

mod admin;
mod app;
mod backend;
mod certs;
mod cli;
mod client;
mod clock;
mod command;
mod contract;
#[cfg(test)]
mod docs;
mod env;
mod fault;
mod inherited;
mod manager;
mod output;
mod relay;
mod roles;
mod signal;
mod store;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;

fn main() -> ExitCode {
    // What is stored are other people's payloads: only the owner may look.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.global.json);
    match command::run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fault::report(&error, output),
    }
}
