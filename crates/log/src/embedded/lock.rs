//! The lock on a log's directory, which names its owner.
//!
//! The operating system drops it with the process, however that ends, so a lock
//! never has to be removed by hand.

use std::path::Path;

use super::{
    disk::{Disk, Lock},
    options::OpenError,
};
use crate::Now;

/// The lock, for as long as it lives.
pub struct Held {
    _lock: Box<dyn Send + Sync>,
}

/// Takes the lock of `dir`, which must be there. Whoever keeps files beside a log that
/// is elsewhere takes it too.
///
/// # Errors
/// When another process has it, or the system refuses.
pub fn take(disk: &dyn Disk, dir: &Path, label: &str, now: &Now) -> Result<Held, OpenError> {
    let shown = || dir.display().to_string();
    let now_ms = now();
    let owner = format!("{} {now_ms} {label}\n", std::process::id());
    match disk.lock(&dir.join("LOCK"), &owner) {
        Ok(Lock::Held(lock)) => Ok(Held { _lock: lock }),
        Ok(Lock::Taken(text)) => Err(OpenError::Locked { dir: shown(), owner: describe(&text, now_ms) }),
        Err(error) => Err(OpenError::Io { dir: shown(), error }),
    }
}

/// What the owner wrote, for a person.
fn describe(text: &str, now_ms: u64) -> String {
    let mut parts = text.trim_end().splitn(3, ' ');
    let (Some(pid), Some(since), Some(label)) = (parts.next(), parts.next(), parts.next()) else {
        return "another process".to_owned();
    };
    let minutes = since.parse().map_or(0, |since| now_ms.saturating_sub(since) / 60_000);
    let lasted = match minutes {
        0 => "less than a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    };
    format!("`{label}` (process {pid}) for {lasted}")
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn names_the_owner() {
        let check = |text: &str, expected: &str| assert_eq!(describe(text, 10_000_000), expected);
        check("12 9990000 hook run\n", "`hook run` (process 12) for less than a minute");
        check("12 9800000 hook run\n", "`hook run` (process 12) for 3 min");
        check("12 0 hook serve\n", "`hook serve` (process 12) for 2 h 46 min");
        check(
            "12 99990000 a clock that went back",
            "`a clock that went back` (process 12) for less than a minute",
        );
        check("", "another process");
        check("garbage", "another process");
    }
}
