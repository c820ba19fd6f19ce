//! One file per command: it asks, and prints what came of it.

mod check;
mod config;
mod debug;
mod demo;
mod dlq;
mod drivers;
mod events;
mod infra;
mod log;
mod relay;
mod replay;
mod run;
mod send;
mod status;

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use hook_core::{inherited::Inherited, plan::Plan};

use crate::{
    admin,
    app::Opened,
    backend,
    cli::{Cli, Command, Global},
    client::Client,
    contract, env, inherited,
    output::Output,
    roles::Roles,
};

/// Runs the command to its end.
pub(crate) fn run(cli: Cli, output: Output) -> anyhow::Result<()> {
    let inherited = match cli.command {
        Command::Run | Command::Serve | Command::Smash => inherited::take()?,
        _ => Inherited::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(dispatch(cli, output, inherited))
}

async fn dispatch(cli: Cli, output: Output, inherited: Inherited) -> anyhow::Result<()> {
    let global = cli.global;
    match cli.command {
        Command::Run => run::run(&global, output, Roles::ALL, inherited).await,
        Command::Serve => run::run(&global, output, Roles::SERVE, inherited).await,
        Command::Smash => run::run(&global, output, Roles::SMASH, inherited).await,
        Command::Relay(command) => relay::run(command, &global, output).await,
        Command::Status { ready: true } => status::ready(&global, output).await,
        Command::Status { ready: false } => status::run(&global, output).await,
        Command::Check => check::run(&global, output),
        Command::Config(command) => config::run(&command, &global, output),
        Command::Drivers { name } => drivers::run(name.as_deref(), output),
        Command::Send(command) => send::run(command, &global, output).await,
        Command::Events(command) => events::run(command, &global, output).await,
        Command::Dlq(command) => dlq::run(command, &global, output).await,
        Command::Replay(command) => replay::run(command, &global, output).await,
        Command::Log(command) => log::run(&command, &global, output),
        Command::Debug(command) => debug::run(&command, &global, output),
        Command::Infra(command) => infra::run(command, &global, output),
        Command::Demo => demo::run(output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hook", &mut script);
            crate::output::bytes(&script)
        }
    }
}

/// Reaches the data: the running process, or the directory opened for this command.
async fn client(global: &Global, output: Output) -> anyhow::Result<Client> {
    let (mut plan, environment) = plan_and_environment(global, output)?;
    for directory in backend::directories(&plan) {
        if let Some(client) = Client::running(&directory).await {
            return Ok(client);
        }
    }
    backend::place(&mut plan, &environment, Roles::NONE)?;
    let opened = Opened::open(&plan, &environment, Roles::NONE).await?;
    let operations = admin::Operations::of_directory(plan, &opened);
    Ok(Client::Opened { router: admin::router(operations), opened: Box::new(opened) })
}

/// The plan and the environment of a command that needs secrets.
fn plan_and_environment(
    global: &Global,
    output: Output,
) -> anyhow::Result<(Plan, hook_core::secret::Environment)> {
    let plan = contract::plan(global, output)?;
    let environment = env::load(&global.env_file)?.with_defaults(&plan.environment);
    Ok((plan, environment))
}

/// Reads a file, or standard input for `-`.
fn read_input(path: &PathBuf) -> anyhow::Result<bytes::Bytes> {
    use std::io::Read;
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes.into());
    }
    let read = std::fs::read(path);
    Ok(read.map_err(|error| crate::fault::usage(format!("cannot read {}: {error}", path.display())))?.into())
}
