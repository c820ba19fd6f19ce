//! `hook-broker JARS NODES`: a Kafka that runs while somebody holds our input open.
//!
//! It prints its version and the bootstrap address as its only line, and ends when its input does:
//! so it ends with whoever started it. For `cargo xtask`, which says the rest.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

use std::{io::Read, process::ExitCode};

use hook_broker::{Error, Jars, Kafka, Options};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [jars, nodes] = &args[..] else {
        eprintln!("usage: hook-broker JARS 1|3");
        return ExitCode::from(2);
    };
    let options = if nodes == "3" { Options::three_nodes() } else { Options::single_node() };
    match run(jars, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(jars: &str, options: Options) -> Result<(), Error> {
    let jars = Jars::at(jars)?;
    let version = jars.version().to_owned();
    let kafka = Kafka::start_with(jars, options)?;
    println!("{version} {}", kafka.bootstrap());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
