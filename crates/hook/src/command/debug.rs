//! `hook debug`: for whoever wants to know why it does not do here what it does elsewhere.

mod capabilities;
mod disk;
mod env;
mod variables;

use crate::{
    cli::{Debug, Global},
    output::Output,
};

pub(crate) fn run(command: &Debug, global: &Global, output: Output) -> anyhow::Result<()> {
    match command {
        Debug::Capabilities => capabilities::run(global, output),
        Debug::Env(shown) => env::run(shown, global, output),
    }
}
