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
        let contract = self.folder.join("contract.toml");
        std::fs::write(&contract, contract_text(address, destinations))?;
        let errors = std::fs::File::create(self.folder.join("stderr.log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("--contract").arg(&contract).arg("--data").arg(self.folder.join("data")).arg("run");
        command.env("BENCH_SECRET", payload::SECRET).env("RUST_LOG", "warn").stderr(errors);
        let log = self.folder.join("stderr.log");
        let process = Process::start(command, address, "/ready").await;
        process.with_context(|| format!("its output is in `{}`", log.display()))
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
