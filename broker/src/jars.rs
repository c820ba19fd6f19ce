//! The jars of Apache Kafka, and running a class of theirs.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{Error, LIBS, Result, process};

/// Small and quick to start: one core's worth of collector, only the first compiler.
const JAVA: &[&str] =
    &["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];

/// The folder with the jars of one version of Apache Kafka.
#[derive(Clone, Debug)]
pub struct Jars {
    folder: PathBuf,
    version: String,
}

impl Jars {
    /// Those in a folder.
    ///
    /// # Errors
    ///
    /// When Kafka is not among them.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        match version(&folder) {
            Some(version) => Ok(Self { folder, version }),
            None => Err(Error::NoJars(folder)),
        }
    }

    /// Those that `cargo xtask test` fetched.
    ///
    /// # Errors
    ///
    /// When the folder that it names is empty.
    ///
    /// # Panics
    ///
    /// When the tests run without it, so that none passes without having run.
    pub fn of_tests() -> Result<Self> {
        Self::at(crate::told(LIBS))
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Of Kafka, as in `4.3.1`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs one of Kafka's tools to its end and returns what it printed:
    /// `run("org.apache.kafka.tools.TopicCommand", &["--bootstrap-server", …], "")`.
    ///
    /// # Errors
    ///
    /// When it cannot be run, or ends with another status than 0.
    pub fn run(&self, class: &str, args: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(class, &[], "error");
        command.args(args).stdin(Stdio::piped());
        let mut tool = start(command)?;
        feed(tool.stdin.take(), input.to_owned());
        finish(class, tool)
    }

    /// A class with these jars, which logs from this level on.
    pub(crate) fn command(&self, class: &str, java: &[String], level: &str) -> Command {
        let mut command = process::bound_to_us("java");
        command.args(JAVA).args(java);
        command.arg(format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={level}"));
        command.arg("-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info");
        command.arg("-cp").arg(self.folder.join("*")).arg(class);
        command
    }
}

/// Starts a tool whose output [`finish`] collects.
pub(crate) fn start(mut command: Command) -> Result<Child> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    process::spawn(command)
}

/// What a tool printed, when it ends well.
pub(crate) fn finish(class: &str, tool: Child) -> Result<String> {
    let output = tool.wait_with_output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let output_text = printed + &String::from_utf8_lossy(&output.stderr);
    Err(Error::Tool { class: class.to_owned(), status: output.status, output: output_text })
}

fn version(folder: &Path) -> Option<String> {
    let names =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_prefix("kafka_2.13-")?.strip_suffix(".jar")?.to_owned())).next()
}

/// Writes from a thread of its own: the tool may read as late as it likes.
fn feed(stdin: Option<ChildStdin>, input: String) {
    let Some(mut stdin) = stdin else { return };
    // A tool that ends without reading all says so by its status.
    std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
}
