//! `hook infra`: what stands around the process.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::certs::{ClientName, Host, LONGEST_DAYS};

#[derive(Subcommand, Debug)]
pub(crate) enum Infra {
    /// Certificates for TLS, made on this machine
    #[command(subcommand)]
    Certs(Certs),
}

#[derive(Subcommand, Debug)]
pub(crate) enum Certs {
    /// Make a certificate authority, a server's certificate and clients' certificates
    #[command(after_help = "\
An authority that is in the folder already signs what is made, so clients can be added later.

Examples:
  hook infra certs gen                                     for localhost, into ./certs
  hook infra certs gen --host kafka.internal 10.0.0.5 --client serve smash
  hook infra certs gen --client relay                      one more client, by the same authority
  hook infra certs gen --force                             the server's and `hook`'s anew, before they end")]
    Gen(Gen),
}

/// What is to be made.
#[derive(Args, Debug)]
pub(crate) struct Gen {
    /// The folder that they are put into
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub(crate) out: PathBuf,
    /// What the server is reached at [default: those of the certificate that is there, or localhost, 127.0.0.1 and ::1]
    #[arg(long, value_name = "NAME|IP", num_args = 1..)]
    pub(crate) host: Vec<Host>,
    /// How long the server's and the clients' are valid; an authority is for ten years
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=LONGEST_DAYS))]
    pub(crate) days: u16,
    /// A client's name, which it is known by [default: hook]
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) client: Vec<ClientName>,
}
