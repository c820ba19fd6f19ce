//! What a lane holds after a crash.
//!
//! Only the last segment is scanned. Its first bad record is the end, and what
//! follows is cut, unless what follows proves that the bad record was durable
//! once: a sound frame whose commit began behind it. That is damage, and an error,
//! because cutting there would lose what was acknowledged.
//!
//! What is found sound is written and synced again before it is shown: after a
//! failed sync the machine may show bytes that the disk never got.

use std::{io, path::Path, sync::Arc};

use super::{
    disk::{Disk, DiskFile, Mode, read_full, topic_dir, write_full},
    frame::{GAP, Header, MAGIC},
    index::Index,
    lane::Lane,
    options::OpenError,
    segment::{self, Segment},
    tail::Tail,
    walk::{Step, Walk},
};
use crate::port::Topic;

/// How much is searched at a time.
const WINDOW: usize = 1 << 20;

/// Where the sound part of a segment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sound {
    /// Its index, which also knows the end.
    pub(crate) index: Index,
    /// Where the last frame's commit began.
    pub(crate) batch: u64,
    /// What follows, if it is not the end and not empty space.
    pub(crate) reason: Option<&'static str>,
}

/// Why recovery stopped.
pub(crate) enum Stop {
    Io(io::Error),
    Damaged { path: std::path::PathBuf, byte: u64, reason: String },
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Stop {
    pub(crate) fn into_open_error(self, dir: &Path) -> OpenError {
        match self {
            Self::Io(error) => OpenError::Io { dir: dir.display().to_string(), error },
            Self::Damaged { path, byte, reason } => {
                OpenError::Damaged { file: path.display().to_string(), byte, reason }
            }
        }
    }
}

/// Recovers a topic; `None` when it has no segment. `known` is how far it was
/// durable when that was last noted.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    topic: &Topic,
    known: u64,
) -> Result<Option<(Arc<Lane>, Tail)>, Stop> {
    let dir = topic_dir(dir, topic.as_str());
    remove_unfinished(&**disk, &dir)?;
    let mut listed = segment::list(&**disk, &dir)?;
    let Some((base, size)) = listed.pop() else { return Ok(None) };
    let path = segment::path(&dir, base);
    let file = disk.open(&path, Mode::Write)?;
    let sound = scan(&file, base, size)?;
    let len = sound.index.len;
    if let Some(found) = first_sync_after(&file, len, sound.index.end, size)? {
        let reason =
            format!("{} (sound records follow at byte {found})", sound.reason.unwrap_or("it is empty"));
        return Err(Stop::Damaged { path, byte: len, reason });
    }
    if sound.index.end < known {
        let reason = format!("records {} to {} were stored and are gone", sound.index.end, known - 1);
        return Err(Stop::Damaged { path, byte: len, reason });
    }
    if let Some(reason) = sound.reason {
        tracing::warn!(path = %path.display(), byte = len, reason, "cut an unfinished append");
    }
    settle(&*file, &sound, size)?;
    disk.sync_dir(&dir)?;
    let mut segments: Vec<_> =
        listed.iter().map(|(base, size)| Arc::new(Segment::new(&dir, *base, *size))).collect();
    let last_ms = last_time(&**disk, &sound.index, segments.last());
    let last = Arc::new(Segment::indexed(&dir, base, sound.index.clone()));
    segments.push(Arc::clone(&last));
    let lane = Arc::new(Lane::new(topic.clone(), dir, segments, sound.index.end));
    let tail = Tail::new(Arc::clone(&lane), last, file, &sound.index, last_ms);
    Ok(Some((lane, tail)))
}

/// A segment that was being made ready when the process ended.
fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for file in disk.list(dir)?.iter().filter(|file| file.name.ends_with(".tmp")) {
        disk.remove(&dir.join(&file.name))?;
    }
    Ok(())
}

/// Reads frames until there is something else.
pub(crate) fn scan(file: &Arc<dyn DiskFile>, base: u64, size: u64) -> io::Result<Sound> {
    let mut sound = Sound { index: Index::new(base), batch: 0, reason: None };
    let mut walk = Walk::new(Arc::clone(file), 0, size);
    loop {
        match walk.step()? {
            Step::Frame { at, header, .. } => {
                if let Some(reason) = out_of_place(&sound.index, &header, at) {
                    return Ok(Sound { reason: Some(reason), ..sound });
                }
                sound.batch = u64::from(header.batch);
                sound.index.push(&header, at);
            }
            Step::Bad { reason, .. } => return Ok(Sound { reason: Some(reason), ..sound }),
            Step::Empty | Step::End => return Ok(sound),
        }
    }
}

/// Why a frame, though sound, cannot be the next.
fn out_of_place(index: &Index, header: &Header, at: u64) -> Option<&'static str> {
    if header.offset != index.end {
        return Some("it is not the record that comes next");
    }
    if header.end() < header.offset || header.end() == u64::MAX {
        return Some("its offset is impossible");
    }
    if u64::from(header.batch) > at {
        return Some("it claims a commit that came later");
    }
    None
}

/// The first sound frame behind `end` whose commit began behind `end`: proof that
/// what stood there was durable. `offset` is the first that could follow.
pub(crate) fn first_sync_after(
    file: &Arc<dyn DiskFile>,
    end: u64,
    offset: u64,
    size: u64,
) -> io::Result<Option<u64>> {
    let mut from = end + 1;
    while let Some((at, header)) = next_frame(file, from, size)? {
        let batch = u64::from(header.batch);
        if header.offset >= offset && batch > end && batch <= at {
            return Ok(Some(at));
        }
        from = at + 1;
    }
    Ok(None)
}

/// The next place at or after `from` where a sound frame begins.
pub(crate) fn next_frame(
    file: &Arc<dyn DiskFile>,
    mut from: u64,
    size: u64,
) -> io::Result<Option<(u64, Header)>> {
    let mut window = vec![0; WINDOW];
    while from < size {
        let wanted = usize::try_from(size - from).unwrap_or(WINDOW).min(WINDOW);
        let read = read_full(&**file, &mut window[..wanted], from)?;
        for place in candidates(&window[..read]) {
            let at = from + place as u64;
            if let Step::Frame { header, .. } = Walk::new(Arc::clone(file), at, size).step()? {
                return Ok(Some((at, header)));
            }
        }
        if read < wanted || read < MAGIC.len() {
            return Ok(None);
        }
        // A magic may lie across two windows.
        from += (read - (MAGIC.len() - 1)) as u64;
    }
    Ok(None)
}

/// Where a magic stands. Empty space is most of what is searched, so it is passed
/// over a page at a time.
fn candidates(bytes: &[u8]) -> impl Iterator<Item = usize> {
    const PAGE: usize = 4096;
    const EMPTY: [u8; PAGE] = [0; PAGE];
    let pages = (0..bytes.len()).step_by(PAGE).filter(move |start| {
        let page = &bytes[*start..(*start + PAGE).min(bytes.len())];
        page != &EMPTY[..page.len()]
    });
    pages.flat_map(move |start| {
        let end = (start + PAGE + MAGIC.len() - 1).min(bytes.len());
        let windows = bytes[start..end].windows(MAGIC.len()).enumerate();
        windows.filter(|(_, four)| *four == MAGIC || *four == GAP).map(move |(place, _)| start + place)
    })
}

/// Cuts what follows the end and makes what precedes it durable.
fn settle(file: &dyn DiskFile, sound: &Sound, size: u64) -> io::Result<()> {
    let len = sound.index.len;
    if size != len {
        file.set_len(len)?;
    }
    let last_commit = usize::try_from(len - sound.batch).unwrap_or(usize::MAX);
    let mut bytes = vec![0; last_commit];
    let read = read_full(file, &mut bytes, sound.batch)?;
    if read != last_commit {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    write_full(file, &bytes, sound.batch)?;
    file.sync_data()
}

/// When the lane's last record was appended, or 0 when that cannot be told.
fn last_time(disk: &dyn Disk, index: &Index, before: Option<&Arc<Segment>>) -> u64 {
    let Some(segment) = before.filter(|_| index.len == 0) else { return index.last_time };
    let file = disk.open(&segment.path, Mode::Read);
    file.and_then(|file| segment.ask(disk, &file, |index| index.last_time)).unwrap_or(0)
}
