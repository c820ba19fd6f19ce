//! What can go wrong with a broker, for the person whose test failed.

use std::{error::Error as _, fmt, io, path::PathBuf, time::Duration};

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a broker could not be started or controlled.
#[derive(thiserror::Error)]
pub enum Error {
    /// The folder holds no Kafka.
    #[error("`{}` holds no `kafka_2.13-….jar`: run `cargo xtask services kafka`, which fetches it", .0.display())]
    NoJars(PathBuf),
    /// A program of the machine could not be run.
    #[error("cannot run `{program}` (Debian: `apt-get install {package}`)")]
    Program {
        /// What was to run.
        program: &'static str,
        /// What has it.
        package: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A file of the broker could not be made.
    #[error("cannot write `{}`", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Every range of ports is in use.
    #[error("no ports are free on 127.0.0.1 from {first} to {last}")]
    NoPorts {
        /// The first that was tried.
        first: u16,
        /// The last that was tried.
        last: u16,
    },
    /// There is no such node.
    #[error("there is no node {node}: they are 1 to {nodes}")]
    NoNode {
        /// What was asked for.
        node: usize,
        /// How many there are.
        nodes: usize,
    },
    /// A node that should run does not.
    #[error("node {0} does not run")]
    NotRunning(usize),
    /// A node ended by itself.
    #[error("node {node} ended ({status}); its output ends:\n{output}")]
    Ended {
        /// Which.
        node: usize,
        /// How.
        status: std::process::ExitStatus,
        /// Its last lines.
        output: String,
    },
    /// A node is not ready in time.
    #[error("node {node} is not ready after {} s; its output ends:\n{output}", .after.as_secs())]
    NotReady {
        /// Which.
        node: usize,
        /// How long it had.
        after: Duration,
        /// Its last lines.
        output: String,
    },
    /// A node was asked to end and did not.
    #[error("node {node} still runs {} s after it was asked to end", .after.as_secs())]
    NotEnded {
        /// Which.
        node: usize,
        /// How long it had.
        after: Duration,
    },
    /// One of Kafka's own tools failed.
    #[error("`{class}` failed ({status}):\n{output}")]
    Tool {
        /// Its class.
        class: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// All that it said.
        output: String,
    },
    /// The system refused something about a process.
    #[error("cannot control a child process")]
    Process(#[from] io::Error),
}

/// As a person reads it: a test's `unwrap` shows this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.source().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}
