//! `cargo xtask fuzz`: every fuzz target for a while.
//!
//! Not part of `ci`: it needs cargo-fuzz and a nightly toolchain, and its worth
//! grows with the time it is given.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::repo;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let present = repo::cargo(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !present.is_ok_and(|status| status.success()) {
        bail!("`cargo fuzz` is not installed\nhint: cargo install cargo-fuzz");
    }
    let targets = targets()?;
    if targets.is_empty() {
        bail!("no fuzz target was found in `*/fuzz/fuzz_targets/`");
    }
    for (folder, target) in targets {
        let limit = format!("-max_total_time={}", args.seconds);
        // NOTE: only rustup's `cargo` on the path knows `+nightly`, not the one that runs this.
        let mut fuzz = Command::new("cargo");
        fuzz.args(["+nightly", "fuzz", "run", "--fuzz-dir"]);
        repo::run(
            fuzz.arg(repo::root().join(folder)).args([&target, "--", &limit]).current_dir(repo::root()),
        )?;
    }
    Ok(())
}

/// Every `FOLDER/fuzz_targets/TARGET.rs`.
fn targets() -> Result<Vec<(PathBuf, String)>> {
    let files = repo::files()?;
    let targets = files.iter().filter_map(|file| {
        let folder = file.parent()?;
        let name = file.file_stem()?.to_str()?;
        (folder.ends_with("fuzz_targets")).then(|| Some((folder.parent()?.to_owned(), name.to_owned())))?
    });
    Ok(targets.collect())
}
