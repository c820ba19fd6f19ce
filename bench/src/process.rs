//! A child process that is measured: ready when it answers, ended when dropped.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::wire::Wire;

const READY_WITHIN: Duration = Duration::from_secs(120);
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// Clock ticks a second in `/proc/PID/stat`; Linux has shown 100 to programs for ever.
const TICKS: u64 = 100;

/// A running program with an HTTP port.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start to its first good answer.
    pub(crate) started_in: Duration,
}

impl Process {
    /// Starts it and waits until `GET path` is answered 200.
    pub(crate) async fn start(mut command: Command, address: SocketAddr, path: &str) -> Result<Self> {
        let begun = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let mut process = Self { child, address, started_in: Duration::ZERO };
        while !answers(address, path).await {
            if let Some(status) = process.child.try_wait()? {
                bail!("{command:?} ended while starting ({status})");
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("{command:?} was not ready within {} s", READY_WITHIN.as_secs());
            }
            pause(1).await;
        }
        process.started_in = begun.elapsed();
        Ok(process)
    }

    /// Resident memory now and at its highest, in bytes.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()
        };
        let (now, highest) = (kib("VmRSS").context("no VmRSS")?, kib("VmHWM").context("no VmHWM")?);
        Ok((now << 10, highest << 10))
    }

    /// Processor time that it used so far.
    pub(crate) fn processor(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit_once(')').context("`/proc/PID/stat` is not as expected")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |index: usize| -> Option<u64> { fields.get(index)?.parse().ok() };
        let ticks = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
        Ok(Duration::from_millis(ticks.context("no processor time")? * 1000 / TICKS))
    }

    /// Starts it and waits for nothing: it has no HTTP port.
    pub(crate) fn start_silent(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Self { child, address, started_in: Duration::ZERO })
    }

    /// Asks it to end (SIGTERM) and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status()?;
        let since = Instant::now();
        while asked.success() && since.elapsed() < ENDED_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("it ended with {status}");
                }
                return Ok(());
            }
            pause(5).await;
        }
        bail!("it did not end within {} s of SIGTERM", ENDED_WITHIN.as_secs())
    }

    /// Ends it as a crash would.
    pub(crate) fn crash(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep_until(Instant::now() + Duration::from_millis(millis)).await;
}

async fn answers(address: SocketAddr, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    let ask = async {
        let mut wire = Wire::connect(address).await.ok()?;
        wire.write(request.as_bytes()).await.ok()?;
        wire.read().await.ok()??.status().ok()
    };
    tokio::time::timeout(Duration::from_secs(5), ask).await.ok().flatten() == Some(200)
}
