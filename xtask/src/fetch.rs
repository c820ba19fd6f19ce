//! What the tests need from npm, fetched once into `target/`.
//!
//! Nothing fetched is committed, no package's own scripts run, and a second call
//! finds what the first one left.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::repo;

const OCTOKIT: &str = "@octokit/webhooks-examples";
const OCTOKIT_VERSION: &str = "7.6.1";

/// The file with GitHub's own example payloads.
pub(crate) fn octokit() -> Result<PathBuf> {
    let folder = repo::target().join("fixtures");
    install(&folder, &[(OCTOKIT, OCTOKIT_VERSION)])?;
    Ok(folder.join("node_modules").join(OCTOKIT).join("api.github.com").join("index.json"))
}

/// Makes sure that `folder/node_modules` has these versions.
pub(crate) fn install(folder: &Path, packages: &[(&str, &str)]) -> Result<()> {
    if packages.iter().all(|(name, version)| installed(folder, name).as_deref() == Some(*version)) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let wanted: Vec<String> = packages.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    println!("fetching {} by npm", wanted.join(", "));
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-save"]);
    npm.args(["--loglevel", "error", "--prefix"]).arg(folder).args(&wanted);
    repo::run(&mut npm).with_context(|| {
        format!("cannot fetch {}: this needs `npm` and, the first time, the network", wanted.join(", "))
    })
}

/// The version of a package that is there already.
fn installed(folder: &Path, name: &str) -> Option<String> {
    let manifest = folder.join("node_modules").join(name).join("package.json");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest).ok()?).ok()?;
    Some(manifest.get("version")?.as_str()?.to_owned())
}
