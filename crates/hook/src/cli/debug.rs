//! `hook debug`: what this program can do here, and what it reads.

use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub(crate) enum Debug {
    /// What this build and this machine can do
    #[command(after_help = "\
Examples:
  hook debug capabilities
  hook --data /var/lib/hook debug capabilities      also what the disk there can do")]
    Capabilities,
    /// The environment variables that are read, whether each is set, and who uses it
    #[command(after_help = "\
Examples:
  hook debug env
  hook --env-file secrets.env debug env --json")]
    Env(Env),
}

/// How much is shown.
#[derive(Args, Debug)]
pub(crate) struct Env {
    /// Show the values of secrets too; on a terminal only, unless `--yes` is given as well
    #[arg(long)]
    pub(crate) no_redact: bool,
    /// Show them although the output is no terminal
    #[arg(long, requires = "no_redact")]
    pub(crate) yes: bool,
}
