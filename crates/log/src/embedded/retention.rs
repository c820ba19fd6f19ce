//! Retention: whole segments go, oldest first.
//!
//! The last segment stays, because its name is what keeps positions from being
//! used again; one that is too old is rolled first. Files are unlinked by the
//! keeper, so appends never wait, and a reader that stands in one reads on.

use std::{io, sync::Arc};

use super::{
    disk::{Disk, Mode},
    lane::Lane,
    segment::{Segment, index_path},
    shared::Shared,
};

/// Removes what the lane's rule says; `roll` begins a new last segment.
pub(crate) fn apply(shared: &Shared, lane: &Lane, roll: impl FnOnce()) -> io::Result<()> {
    let disk = &*shared.disk;
    let rule = shared.options.retention_of(&lane.topic);
    let cutoff = rule.max_age.map(|age| {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        shared.options.clock().saturating_sub(age)
    });
    let last = lane.segments().last().cloned();
    if last.is_some_and(|last| last.len() > 0 && is_older(disk, &last, cutoff)) {
        roll();
    }
    while let Some((oldest, next)) = oldest_of_two(lane) {
        let is_over = rule.max_bytes.is_some_and(|most| lane.bytes() > most);
        if !is_over && !is_older(disk, &oldest, cutoff) {
            break;
        }
        lane.segments_mut().remove(0);
        if let Err(error) = unlink(disk, lane, &oldest) {
            // What cannot be removed is still there: without it readers, and whoever
            // opens the log next, would find a hole once the one after it went.
            lane.segments_mut().insert(0, oldest);
            return Err(error);
        }
        shared.missed(&lane.topic, oldest.base, next);
        tracing::info!(topic = %lane.topic, from = oldest.base, to = next - 1, "retention removed a segment");
        disk.sync_dir(&lane.dir)?;
    }
    Ok(())
}

/// The oldest segment and where the next begins, unless it is the only one.
fn oldest_of_two(lane: &Lane) -> Option<(Arc<Segment>, u64)> {
    match lane.segments().as_slice() {
        [oldest, next, ..] => Some((Arc::clone(oldest), next.base)),
        _ => None,
    }
}

/// Whether even the youngest record is older than the cutoff.
fn is_older(disk: &dyn Disk, segment: &Segment, cutoff: Option<u64>) -> bool {
    let Some(cutoff) = cutoff else { return false };
    let file = disk.open(&segment.path, Mode::Read);
    let last = file.and_then(|file| segment.ask(disk, &file, |index| index.last_time));
    last.is_ok_and(|last| last < cutoff)
}

/// Only once every removal before it is durable, so that no crash can leave a hole
/// between two.
fn unlink(disk: &dyn Disk, lane: &Lane, segment: &Segment) -> io::Result<()> {
    disk.sync_dir(&lane.dir)?;
    for path in [&index_path(&segment.path), &segment.path] {
        match disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
