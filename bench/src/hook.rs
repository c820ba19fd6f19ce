//! `hook` as it is measured: the release binary, a contract, a data directory.

use std::{
    fmt::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    payload,
    process::{self, Process},
};

/// The roles, each a process of its own.
pub(crate) struct Roles {
    pub(crate) serve: Process,
    relay: Process,
    smash: Process,
}

/// A binary with a data directory of its own; the directory goes with it.
pub(crate) struct Hook {
    binary: PathBuf,
    folder: PathBuf,
}

impl Hook {
    pub(crate) fn new(binary: &Path, folder: PathBuf) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty `{}`", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        Ok(Self { binary: binary.to_owned(), folder })
    }

    /// Runs it, delivering to these.
    pub(crate) async fn run(&self, destinations: &[SocketAddr]) -> Result<Process> {
        let address = process::free_address()?;
        std::fs::write(self.contract(), contract_text(address, destinations))?;
        self.start(self.command(&["run"])?, address).await
    }

    /// Runs its three roles on a log in Kafka, delivering to this one.
    pub(crate) async fn run_roles(&self, brokers: &str, destination: SocketAddr) -> Result<Roles> {
        let address = process::free_address()?;
        let text = contract_text(address, &[destination])
            .replace("target_topic = \"webhooks.core\"", "target_topic = \"webhooks.github\"");
        std::fs::write(self.contract(), text + "\n[log]\nbackend = \"kafka\"\n")?;
        let role = |args: &[&str]| -> Result<Command> {
            let mut command = self.command(args)?;
            command.env("KAFKA_BROKERS", brokers).env("KAFKA_SECURITY_PROTOCOL", "plaintext");
            command.env("KAFKA_ALLOW_PLAINTEXT", "true");
            Ok(command)
        };
        let serve = self.start(role(&["serve"])?, address).await?;
        let relay = ["relay", "--topics", "webhooks.github", "--output-topic", "webhooks.core"];
        let relay = Process::start_silent(role(&relay)?)?;
        Ok(Roles { serve, relay, smash: Process::start_silent(role(&["smash"])?)? })
    }

    fn contract(&self) -> PathBuf {
        self.folder.join("contract.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("stderr.log")
    }

    fn command(&self, role: &[&str]) -> Result<Command> {
        let errors = std::fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command.arg("--contract").arg(self.contract()).arg("--data").arg(self.folder.join("data")).args(role);
        command.env("BENCH_SECRET", payload::SECRET).env("RUST_LOG", "warn").stderr(errors);
        Ok(command)
    }

    async fn start(&self, command: Command, address: SocketAddr) -> Result<Process> {
        let process = Process::start(command, address, "/ready").await;
        process.with_context(|| format!("its output is in `{}`", self.log().display()))
    }
}

impl Roles {
    pub(crate) async fn stop(self) -> Result<()> {
        for process in [self.serve, self.relay, self.smash] {
            process.stop().await?;
        }
        Ok(())
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What is left is under target/ and emptied by the next run.
            let _ = std::fs::remove_dir_all(self.folder.join("data"));
        }
    }
}

/// Defaults wherever there are any: that is what users run.
fn contract_text(address: SocketAddr, destinations: &[SocketAddr]) -> String {
    let mut text = format!(
        r#"[app]
id = "bench"
name = "Bench"
version = "1.0.0"

[policies]
allow_no_output = true
no_output_sink = "discard"

[sources.github]
preset = "github"
secrets_env = ["BENCH_SECRET"]

[[serve.ingress_adapters]]
id = "in"
driver = "http_webhook_ingress"
bind = "{address}"

[[serve.routes]]
id = "all"
source_match = "*"
event_type_pattern = "*"
target_topic = "webhooks.core"
"#
    );
    let mut names = Vec::new();
    for (index, destination) in destinations.iter().enumerate() {
        let name = format!("out-{index}");
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
[[smash.egress_adapters]]
id = "{name}"
driver = "http_output"
url = "http://{destination}/"
body = "payload"
allow_networks = ["127.0.0.0/8"]
"#
        );
        names.push(name);
    }
    if !names.is_empty() {
        let all: Vec<String> = names.iter().map(|name| format!("{{ adapter_id = \"{name}\" }}")).collect();
        let _ = write!(
            text,
            "\n[[smash.routes]]\nid = \"out\"\nsource_topic_pattern = \"webhooks.core\"\ndestinations = [{}]\n",
            all.join(", ")
        );
    }
    let route = if names.is_empty() { "[]" } else { "[\"out\"]" };
    let _ = write!(
        text,
        "\n[profiles.default]\nlabel = \"Bench\"\nserve_adapters = [\"in\"]\nserve_routes = [\"all\"]\n\
         smash_adapters = {names:?}\nsmash_routes = {route}\n"
    );
    text
}
