//! A real Apache Kafka on loopback: its jars, and a broker while it is wanted.
//!
//! The jars come by Maven into `target/services/kafka`, as `broker/pom.xml` says.
//! Nodes are started by the program of the crate `hook-broker`, which ends when we
//! close its input, so no broker stays behind however this ends.

use std::{
    fs::File,
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
        let program = build()?;
        let mut owner = Command::new(&program)
            .arg(&libs)
            .arg(nodes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let mut line = String::new();
        BufReader::new(owner.stdout.take().context("no output of `hook-broker`")?).read_line(&mut line)?;
        let Some((version, bootstrap)) = line.trim().split_once(' ') else {
            let status = owner.wait()?;
            bail!("Apache Kafka did not start ({status}): it needs `java` 17 and `setpriv`")
        };
        println!("Apache Kafka {version} answers on {bootstrap}");
        Ok(Self { bootstrap: bootstrap.to_owned(), owner, libs })
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

/// The program that holds the brokers.
fn build() -> Result<PathBuf> {
    repo::run(&mut repo::cargo(["build", "--quiet", "--package", "hook-broker", "--bin", "hook-broker"]))?;
    Ok(repo::target().join("debug").join("hook-broker"))
}

/// The folder with the jars, fetched unless a former run fetched the same.
pub(crate) fn libs() -> Result<PathBuf> {
    let folder = repo::target().join("services").join("kafka");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    // Two runs at once fetch it once.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
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
    mvn.args(["--batch-mode", "--quiet", "-Dstyle.color=never", "--file"]).arg(repo::root().join(POM));
    mvn.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    mvn.arg(format!("-DoutputDirectory={}", libs.display()));
    repo::run(&mut mvn)
        .context("cannot fetch Apache Kafka: this needs `java` 17, `mvn` and, the first time, the network")?;
    // Last: only what is complete counts as fetched.
    std::fs::write(&fetched, wanted).with_context(|| format!("cannot write `{}`", fetched.display()))?;
    Ok(libs)
}
