//! `hook config`: the contract checked, resolved, or described.

use hook_core::contract as core;

use crate::{cli, command::check, contract, output::Output};

pub(crate) fn run(command: &cli::Config, global: &cli::Global, output: Output) -> anyhow::Result<()> {
    let value = match command {
        cli::Config::Validate => return check::run(global, output),
        cli::Config::Show => core::resolved(&contract::plan(global, output)?),
        cli::Config::Schema => core::schema(&contract::DRIVERS),
    };
    output.result(&value, |value| serde_json::to_string_pretty(value).unwrap_or_default())
}
