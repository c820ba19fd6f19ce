//! A real Apache Kafka on loopback: its jars, and a broker while it is wanted.
//!
//! The jars come by Maven into `target/services/kafka`, as `broker/pom.xml` says.
//! Nodes are started by the program of the crate `hook-broker`, which ends when we
//! close its input, so no broker stays behind however this ends.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::repo;

const POM: &str = "broker/pom.xml";

/// Running brokers; dropping it ends them.
pub(crate) struct Kafka {
    owner: Child,
    bootstrap: String,
    libs: PathBuf,
}

impl Kafka {
    pub(crate) fn start(nodes: u8) -> Result<Self> {
        let libs = libs()?;
        repo::run(&mut repo::cargo([
            "build",
            "--quiet",
            "--package",
            "hook-broker",
            "--bin",
            "hook-broker",
        ]))?;
        let mut owner = Command::new(repo::target().join("debug").join("hook-broker"))
            .arg(&libs)
            .arg(nodes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("`hook-broker` could not be run")?;
        let mut bootstrap = String::new();
        BufReader::new(owner.stdout.take().context("no output of `hook-broker`")?)
            .read_line(&mut bootstrap)?;
        if bootstrap.is_empty() {
            let status = owner.wait()?;
            bail!("Apache Kafka did not start ({status}): it needs `java` 17 and `setpriv`")
        }
        let bootstrap = bootstrap.trim().to_owned();
        println!("Apache Kafka answers on {bootstrap}");
        Ok(Self { owner, bootstrap, libs })
    }

    /// What the tests need to know.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("HOOK_TEST_KAFKA", self.bootstrap.clone()),
            ("HOOK_TEST_KAFKA_LIBS", self.libs.display().to_string()),
        ]
    }

    /// Waits until it ends by itself, which it does only when something is wrong.
    pub(crate) fn wait(mut self) -> Result<()> {
        let input = self.owner.stdin.take();
        let status = self.owner.wait()?;
        drop(input);
        bail!("`hook-broker` ended ({status})")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.owner.stdin.take());
        if let Err(error) = self.owner.wait() {
            eprintln!("warning: Apache Kafka (process {}) is still there: {error}", self.owner.id());
        }
    }
}

/// The folder with the jars, fetched unless a former run fetched the same.
fn libs() -> Result<PathBuf> {
    let folder = repo::target().join("services").join("kafka");
    let libs = folder.join("libs");
    let fetched = folder.join("pom.xml");
    let wanted = repo::read(Path::new(POM))?;
    if std::fs::read_to_string(&fetched).is_ok_and(|has| has == wanted) {
        return Ok(libs);
    }
    println!("fetching Apache Kafka by Maven");
    if libs.exists() {
        std::fs::remove_dir_all(&libs).with_context(|| format!("cannot empty `{}`", libs.display()))?;
    }
    let mut mvn = Command::new("mvn");
    mvn.args(["--batch-mode", "--quiet", "--file"]).arg(repo::root().join(POM));
    mvn.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    mvn.arg(format!("-DoutputDirectory={}", libs.display()));
    repo::run(&mut mvn)
        .context("cannot fetch Apache Kafka: this needs `java` 17, `mvn` and, the first time, the network")?;
    // Last: only what is complete counts as fetched.
    std::fs::write(&fetched, wanted).with_context(|| format!("cannot write `{}`", fetched.display()))?;
    Ok(libs)
}
