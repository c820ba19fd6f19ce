//! `cargo xtask services`: what the tests run against, for a person to try things on.

use anyhow::Result;

use crate::kafka::Kafka;

const EXAMPLES: &str = "\
Examples:
  cargo xtask services kafka
  cargo xtask services kafka --nodes 3";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    service: Service,
}

#[derive(clap::Subcommand)]
enum Service {
    /// Apache Kafka on loopback, plaintext, until Ctrl-C; what it stored goes with it
    #[command(after_help = EXAMPLES)]
    Kafka {
        /// One node, or three that are brokers and controllers
        #[arg(long, value_name = "1|3", default_value_t = 1, value_parser = nodes)]
        nodes: u8,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.service {
        Service::Kafka { nodes } => {
            let kafka = Kafka::start(nodes)?;
            println!("Ctrl-C ends it");
            kafka.wait()
        }
    }
}

fn nodes(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("valid values are `1` and `3`".into()),
    }
}
