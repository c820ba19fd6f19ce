//! One node: its folder, its process, its output.
//!
//! Each start writes a new file of output, so that what a former one said is never
//! taken for the present.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Jars, Result, process, properties::Ports};

const ENDED_WITHIN: Duration = Duration::from_secs(30);
const CONNECTED_WITHIN: Duration = Duration::from_millis(500);
/// What Kafka says when it serves clients and the cluster knows it.
const STARTED: &str = "Kafka Server started";
/// How much of the output an error shows.
const LINES: usize = 20;

pub(crate) struct Node {
    /// From 1.
    number: usize,
    ports: Ports,
    folder: PathBuf,
    process: Option<Child>,
    starts: u32,
}

impl Node {
    pub(crate) fn new(number: usize, ports: Ports, folder: PathBuf) -> Self {
        Self { number, ports, folder, process: None, starts: 0 }
    }

    /// Starts it and does not wait.
    pub(crate) fn start(&mut self, jars: &Jars, java: &[String]) -> Result<()> {
        self.starts += 1;
        let path = self.output_path();
        let output = File::create(&path).map_err(|source| Error::File { path, source })?;
        let mut command = jars.command("kafka.Kafka", java, "warn");
        command.arg(self.folder.join("server.properties"));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        self.process = Some(process::spawn(command)?);
        Ok(())
    }

    /// Whether it serves clients; an error when it ended by itself.
    pub(crate) fn is_ready(&mut self) -> Result<bool> {
        let node = self.number;
        if let Some(status) = self.running()?.try_wait()? {
            self.process = None;
            return Err(Error::Ended { node, status, output: self.last_lines() });
        }
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.client));
        Ok(self.output().contains(STARTED) && TcpStream::connect_timeout(&client, CONNECTED_WITHIN).is_ok())
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// SIGKILL, whatever it does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// SIGTERM: it hands over what it leads, and ends.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let process = self.running()?;
        let ended = process::poll(ENDED_WITHIN, || Ok(process.try_wait()?))?;
        if ended.is_none() {
            return Err(Error::NotEnded { node: self.number, after: ENDED_WITHIN });
        }
        self.process = None;
        Ok(())
    }

    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(self.running()?);
        kill_process(pid, signal).map_err(|error| Error::Process(error.into()))
    }

    /// All that it said since it was last started.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(self.output_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn last_lines(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    pub(crate) fn id(&mut self) -> Result<u32> {
        Ok(self.running()?.id())
    }

    fn running(&mut self) -> Result<&mut Child> {
        self.process.as_mut().ok_or(Error::NotRunning(self.number))
    }

    fn output_path(&self) -> PathBuf {
        self.folder.join(format!("output-{}.log", self.starts))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that cannot be killed is killed by the system when we end.
        drop(self.kill());
    }
}
