//! The binary as a process: started, waited for, asked, killed.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, free_address, pause};

/// How long a clean stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

/// A contract and a data directory, and the process that runs them, if one does.
/// Dropping it kills the process.
pub(crate) struct Hook {
    folder: TempDir,
    contract: Box<dyn Fn(SocketAddr) -> String + Send + Sync>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// A socket that it is given, and what it is called.
    inherited: Option<(TcpListener, String)>,
    /// Where it listens, while it runs.
    pub(crate) address: SocketAddr,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Hook {
    /// Nothing runs yet; `contract` is given the address to listen on.
    pub(crate) fn new(contract: impl Fn(SocketAddr) -> String + Send + Sync + 'static) -> Self {
        let secret = ("GITHUB_SECRET".to_owned(), super::SECRET.to_owned());
        let address = free_address();
        Self {
            folder: TempDir::new().unwrap(),
            contract: Box::new(contract),
            environment: vec![secret],
            child: None,
            inherited: None,
            address,
        }
    }

    /// The same, running.
    pub(crate) async fn running(contract: impl Fn(SocketAddr) -> String + Send + Sync + 'static) -> Self {
        let mut hook = Self::new(contract);
        hook.start().await;
        hook
    }

    /// Another contract from the next start on.
    pub(crate) fn set_contract(&mut self, contract: impl Fn(SocketAddr) -> String + Send + Sync + 'static) {
        self.contract = Box::new(contract);
    }

    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(have, _)| have != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset_variable(&mut self, name: &str) {
        self.environment.retain(|(have, _)| have != name);
    }

    /// From the next start on it inherits this socket, as `systemd.socket` would hand it over.
    pub(crate) fn inherit(&mut self, socket: TcpListener, name: &str) {
        self.inherited = Some((socket, name.to_owned()));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Starts `hook run` and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        // The port may be taken by somebody else between being found free and used.
        for _ in 0..3 {
            self.spawn("run");
            if self.ready().await {
                return;
            }
            let said = self.stderr();
            self.child = None;
            assert!(said.contains("in use"), "it did not start: {said}");
        }
        panic!("no port could be had");
    }

    /// Starts it without waiting; a new address each time.
    pub(crate) fn spawn(&mut self, role: &str) {
        self.spawn_with(&[role]);
    }

    /// The same with a role's own arguments.
    pub(crate) fn spawn_with(&mut self, args: &[&str]) {
        assert!(self.child.is_none(), "it runs already");
        self.address = match &self.inherited {
            Some((socket, _)) => socket.local_addr().unwrap(),
            None => free_address(),
        };
        self.write_contract();
        let stderr = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.command(args);
        command.stdin(Stdio::null());
        if let Some((socket, name)) = &self.inherited {
            command = with_socket(&command, socket, name);
        }
        command.stdout(Stdio::null()).stderr(stderr);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it is ready; false when it ended instead.
    pub(crate) async fn ready(&mut self) -> bool {
        let since = Instant::now();
        let url = format!("http://{}/ready", self.address);
        loop {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "not ready after {} s: {}",
                PATIENCE.as_secs(),
                self.stderr()
            );
            pause(Duration::from_millis(10)).await;
        }
    }

    /// As a power cut would: no handler runs.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// A signal, as `kill` names it.
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        assert!(kill.args([name, &self.pid().to_string()]).status().unwrap().success());
    }

    /// Waits until it ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let since = Instant::now();
        let mut child = self.child.take().expect("it runs");
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if since.elapsed() > STOPS_WITHIN {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("it did not end within {} s: {}", STOPS_WITHIN.as_secs(), self.stderr());
            }
            pause(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM, and a clean end.
    pub(crate) async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{}", self.stderr());
    }

    /// Everything that it wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Runs another command of the same contract on the same data.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.write_contract();
        Done::from(self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs a command that must succeed with `--json`, and reads what it printed.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let args = [&["--json"], args].concat();
        let done = self.run(&args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {done:?}"))
    }

    /// One event's life; none where it is not stored.
    pub(crate) fn life(&self, id: &str) -> Option<Value> {
        let done = self.run(&["--json", "events", "show", id]);
        (done.code == Some(0)).then(|| serde_json::from_str(&done.stdout).unwrap())
    }

    /// The binary with the contract, the data and the variables of this one, and
    /// nothing else of the test's own environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare();
        command.current_dir(self.folder.path());
        command.arg("--contract").arg(self.contract_file()).arg("--data").arg(self.data()).args(args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn write_contract(&self) {
        std::fs::write(self.contract_file(), (self.contract)(self.address)).unwrap();
    }

    fn contract_file(&self) -> PathBuf {
        self.folder.path().join("contract.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Done {
    /// The binary alone, in a folder.
    pub(crate) fn of(folder: &Path, args: &[&str]) -> Self {
        Self::from(bare().current_dir(folder).args(args).stdin(Stdio::null()).output().unwrap())
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The same command with the socket as descriptor 3. A shell moves it there and is
/// then replaced, so that the process is the one that `LISTEN_PID` names.
fn with_socket(command: &Command, socket: &TcpListener, name: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("export LISTEN_PID=$$; exec \"$@\" 3<&0 0</dev/null").arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear().current_dir(command.get_current_dir().unwrap());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    shell.stdin(OwnedFd::from(socket.try_clone().unwrap()));
    shell
}

fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hook"));
    command.env_clear().env("NO_COLOR", "1");
    command
}
