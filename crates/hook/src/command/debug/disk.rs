//! What the disk under a data directory can do: everything that the log relies on, tried.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use hook_log::{
    RealDisk,
    embedded::disk::{Disk as _, Mode},
};
use serde::Serialize;

use crate::{fault, output};

/// How often a flush is timed.
const FLUSHES: u32 = 32;
/// What is written before each.
const BLOCK: usize = 4096;

/// What was found.
#[derive(Serialize)]
pub(super) struct Disk {
    path: PathBuf,
    /// As the mount table names it; none where it cannot be told.
    file_system: Option<String>,
    free_bytes: u64,
    /// Whether space can be reserved ahead of use.
    fallocate: bool,
    /// How long a write of 4 KiB takes until it is durable, in milliseconds.
    flush_ms_median: f64,
    flush_ms_max: f64,
    /// What a person should know of this file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

/// Tries it with a file that is removed again.
pub(super) fn probe(directory: &Path) -> anyhow::Result<Disk> {
    let path = fs::canonicalize(directory)
        .map_err(|error| fault::usage(format!("cannot look at {}: {error}", directory.display())))?;
    let failed = || format!("cannot write to {}", path.display());
    let file = tempfile::Builder::new().prefix(".probe-").tempfile_in(&path).with_context(failed)?;
    let disk = RealDisk.open(file.path(), Mode::Write).with_context(failed)?;
    let fallocate = match disk.allocate(0, u64::from(FLUSHES) * BLOCK as u64) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => false,
        Err(error) => return Err(error).with_context(failed),
    };
    let mut took = Vec::new();
    for round in 0..FLUSHES {
        let since = Instant::now();
        disk.write_at(&[0xa5; BLOCK], u64::from(round) * BLOCK as u64).with_context(failed)?;
        disk.sync_data().with_context(failed)?;
        took.push(since.elapsed());
    }
    took.sort();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let file_system = file_system(&mounts, &path).map(str::to_owned);
    Ok(Disk {
        warning: file_system.as_deref().and_then(warning),
        file_system,
        free_bytes: RealDisk.free_bytes(&path).with_context(failed)?,
        fallocate,
        flush_ms_median: millis(took[took.len() / 2]),
        flush_ms_max: millis(took[took.len() - 1]),
        path,
    })
}

impl Disk {
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("data", self.path.display().to_string()),
            ("file system", self.file_system.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("free", output::human_bytes(self.free_bytes)),
            ("fallocate", if self.fallocate { "yes" } else { "no: space is not reserved ahead" }.to_owned()),
            ("fdatasync", format!("{:.2} ms, at most {:.2} ms", self.flush_ms_median, self.flush_ms_max)),
        ];
        rows.extend(self.warning.map(|warning| ("warning", warning.to_owned())));
        rows
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The type of the innermost mount that holds `path`, which is absolute.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then_some((point.len(), after.split(' ').next()?))
    };
    // Of two at one place the later hides the earlier, and `max_by_key` takes the last.
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn warning(file_system: &str) -> Option<&'static str> {
    match file_system {
        "tmpfs" | "ramfs" => Some("this is memory: what is stored here does not outlive the machine"),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "glusterfs" | "virtiofs" => {
            Some("this is another machine's disk: what it calls flushed, and its locks, are its word")
        }
        fuse if fuse.starts_with("fuse") => {
            Some("this is a program's file system: what it calls flushed, and its locks, are its word")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /var/lib rw shared:2 - xfs /dev/sdb1 rw
23 22 0:21 / /var/lib/hook\\040data rw - nfs4 server:/x rw
24 21 0:22 / /run rw - ramfs none rw
25 21 0:23 / /run rw - tmpfs none rw
";

    #[test]
    fn the_innermost_mount_counts_and_of_two_the_later() {
        let check = |path: &str, expected: &str| {
            assert_eq!(file_system(MOUNTS, Path::new(path)), Some(expected), "{path}");
        };
        check("/srv/hook", "ext4");
        check("/var/lib/hook", "xfs");
        check("/var/library", "ext4");
        check("/var/lib/hook data/a", "nfs4");
        check("/run/hook", "tmpfs");
        assert_eq!(file_system("", Path::new("/")), None);
    }

    #[test]
    fn what_keeps_no_promise_is_warned_of() {
        for kind in ["tmpfs", "nfs4", "fuse.sshfs", "9p"] {
            assert!(warning(kind).is_some(), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "zfs", "overlay"] {
            assert_eq!(warning(kind), None, "{kind}");
        }
    }

    #[test]
    fn a_directory_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let found = probe(folder.path()).unwrap();
        assert!(
            found.free_bytes > 0
                && found.flush_ms_median > 0.0
                && found.flush_ms_max >= found.flush_ms_median
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let error = probe(&folder.path().join("nowhere")).err().unwrap().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }
}
