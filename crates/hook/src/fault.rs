//! Errors at the edge: which exit code a failure ends with, and how it is shown.

use std::{fmt, process::ExitCode};

use crate::output::Output;

/// A failure with a kind of its own; every other error is one while running.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The command line, the contract or the environment is wrong: exit code 2.
    Usage(String),
    /// Something that is needed cannot be reached: exit code 3.
    Unreachable(String),
    /// Everything was said already; only the code is left.
    Reported(u8),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Unreachable(text) => f.write_str(text),
            Self::Reported(_) => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

/// A usage fault, as an error.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Fault::Usage(text.into()).into()
}

/// An unreachable fault, as an error.
pub(crate) fn unreachable(text: impl Into<String>) -> anyhow::Error {
    Fault::Unreachable(text.into()).into()
}

/// Shows the error and names the exit code.
pub(crate) fn report(error: &anyhow::Error, output: Output) -> ExitCode {
    let code = match error.downcast_ref::<Fault>() {
        Some(Fault::Reported(code)) => return ExitCode::from(*code),
        Some(Fault::Usage(_)) => 2,
        Some(Fault::Unreachable(_)) => 3,
        None => 1,
    };
    output.error(&format!("{error:#}"), code);
    ExitCode::from(code)
}
