//! `hook log verify` and `hook log repair`: every frame of every segment.
//!
//! Verifying writes nothing and needs no lock. Repairing deletes nothing silently:
//! the bytes it cuts go to a `.cut` file beside the segment, and a gap takes their
//! place, so that the positions of what is lost are never used again and every
//! sound record behind the damage is kept. An append that a crash left unfinished
//! is no damage; opening the log cuts it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    cursors,
    disk::{Disk, DiskFile, Mode, read_full, topic_dir, write_full},
    frame::{self, Header},
    lock,
    options::OpenError,
    recovery, segment,
    walk::{Step, Walk},
};
use crate::{Now, port::Topic};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Every topic.
    pub topics: Vec<TopicReport>,
    /// Every damaged place.
    pub problems: Vec<Problem>,
}

/// What a topic holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic.
    pub topic: Topic,
    /// Its segments.
    pub segments: u64,
    /// Its sound records.
    pub records: u64,
    /// The bytes of its segments, reserved space included.
    pub bytes: u64,
    /// The oldest offset.
    pub first: u64,
    /// The offset that the next record gets.
    pub next: u64,
    /// Where in its last segment an append is unfinished, if one is.
    pub unfinished: Option<u64>,
}

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The segment.
    pub file: PathBuf,
    /// The byte offset of the damage.
    pub byte: u64,
    /// How many bytes are damaged.
    pub bytes: u64,
    /// How many records are lost.
    pub records: u64,
    /// What is wrong.
    pub reason: String,
    /// Where repair put the damaged bytes; absent when there were none.
    pub kept_in: Option<PathBuf>,
}

/// How far the check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The segment that was just checked.
    pub file: &'a Path,
    /// Bytes checked of all segments.
    pub done: u64,
    /// Bytes of all segments.
    pub total: u64,
}

/// Checks every record in `dir`. The log may be open elsewhere.
///
/// # Errors
/// When the operating system refuses.
pub fn verify(
    dir: &Path,
    disk: &Arc<dyn Disk>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, OpenError> {
    Check::new(dir, disk, false, progress).and_then(Check::run).map_err(|error| io_error(dir, error))
}

/// Checks every record in `dir` and makes the log whole again. `label` is written
/// in the lock, as in [`super::Options::label`].
///
/// # Errors
/// When another process has the directory or the operating system refuses.
pub fn repair(
    dir: &Path,
    label: &str,
    now: &Now,
    disk: &Arc<dyn Disk>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, OpenError> {
    let _held = lock::take(&**disk, dir, label, now)?;
    Check::new(dir, disk, true, progress).and_then(Check::run).map_err(|error| io_error(dir, error))
}

fn io_error(dir: &Path, error: io::Error) -> OpenError {
    OpenError::Io { dir: dir.display().to_string(), error }
}

struct Check<'a> {
    disk: &'a Arc<dyn Disk>,
    dir: &'a Path,
    mend: bool,
    progress: &'a mut dyn FnMut(Progress<'_>),
    report: Report,
    done: u64,
    total: u64,
}

/// One segment on its way through the check.
struct Place {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    base: u64,
    size: u64,
    /// Where the next frame is expected, and its first record.
    at: u64,
    offset: u64,
    records: u64,
}

/// Damage, up to where something sound goes on.
struct Damage {
    reason: String,
    /// Where it ends, and whether anything sound follows there.
    until: u64,
    follows: bool,
    /// The offset with which the log goes on.
    next: u64,
}

impl<'a> Check<'a> {
    fn new(
        dir: &'a Path,
        disk: &'a Arc<dyn Disk>,
        mend: bool,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> io::Result<Self> {
        Ok(Self { disk, dir, mend, progress, report: Report::default(), done: 0, total: 0 })
    }

    fn run(mut self) -> io::Result<Report> {
        let (_, saved, _) = cursors::newest(&**self.disk, self.dir)?;
        let mut topics = Vec::new();
        for entry in self.disk.list(&self.dir.join("topics"))? {
            let Ok(topic) = Topic::new(&entry.name) else { continue };
            let segments = segment::list(&**self.disk, &topic_dir(self.dir, topic.as_str()))?;
            self.total += segments.iter().map(|(_, size)| size).sum::<u64>();
            topics.push((topic, segments));
        }
        topics.sort();
        for (topic, segments) in topics {
            let known = saved.ends.get(&topic).copied().unwrap_or(0);
            self.topic(topic, &segments, known)?;
        }
        Ok(self.report)
    }

    fn topic(&mut self, topic: Topic, segments: &[(u64, u64)], known: u64) -> io::Result<()> {
        let Some((first, _)) = segments.first() else { return Ok(()) };
        let mut found = TopicReport {
            topic,
            segments: segments.len() as u64,
            records: 0,
            bytes: segments.iter().map(|(_, size)| size).sum(),
            first: *first,
            next: *first,
            unfinished: None,
        };
        let dir = topic_dir(self.dir, found.topic.as_str());
        for (index, (base, size)) in segments.iter().enumerate() {
            let following = segments.get(index + 1).map(|(base, _)| *base);
            let path = segment::path(&dir, *base);
            let mode = if self.mend { Mode::Write } else { Mode::Read };
            let file = self.disk.open(&path, mode)?;
            let mut place = Place { path, file, base: *base, size: *size, at: 0, offset: *base, records: 0 };
            found.unfinished = self.segment(&mut place, following, known)?;
            found.records += place.records;
            found.next = place.offset;
            self.done += size;
            (self.progress)(Progress { file: &place.path, done: self.done, total: self.total });
        }
        self.report.topics.push(found);
        Ok(())
    }

    /// Checks one segment; says where an unfinished append lies in the last.
    fn segment(&mut self, place: &mut Place, following: Option<u64>, known: u64) -> io::Result<Option<u64>> {
        loop {
            let stopped = place.walk()?;
            let damage = match following {
                Some(base) => place.damage_before(base, stopped)?,
                None => place.damage_at_tail(known, stopped)?,
            };
            let Some(damage) = damage else {
                return Ok(stopped.filter(|_| following.is_none()).map(|_| place.at));
            };
            self.damaged(place, &damage)?;
            (place.at, place.offset) = (damage.until, damage.next);
            if !damage.follows {
                return Ok(None);
            }
        }
    }

    fn damaged(&mut self, place: &Place, damage: &Damage) -> io::Result<()> {
        let kept_in = if self.mend { self.mend(place, damage)? } else { None };
        self.report.problems.push(Problem {
            file: place.path.clone(),
            byte: place.at,
            bytes: damage.until - place.at,
            records: damage.next.saturating_sub(place.offset),
            reason: damage.reason.clone(),
            kept_in,
        });
        Ok(())
    }

    /// Puts the damaged bytes aside and a gap in their place.
    fn mend(&self, place: &Place, damage: &Damage) -> io::Result<Option<PathBuf>> {
        let kept_in = self.keep(place, damage.until)?;
        let size = if damage.follows { damage.until - place.at } else { 0 };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let missing = damage.next.saturating_sub(place.offset);
        let gap = frame::encode_gap(size, place.at, place.offset, missing);
        if !damage.follows {
            place.file.set_len(place.at)?;
        }
        write_full(&*place.file, &gap, place.at)?;
        place.file.sync_data()?;
        match self.disk.remove(&segment::index_path(&place.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(kept_in),
        }
    }

    /// Copies what will be cut to a file of its own, unless it is empty space.
    fn keep(&self, place: &Place, until: u64) -> io::Result<Option<PathBuf>> {
        let mut bytes = vec![0; usize::try_from(until - place.at).unwrap_or(usize::MAX)];
        let read = read_full(&*place.file, &mut bytes, place.at)?;
        bytes.truncate(read);
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let path = place.path.with_file_name(format!("{:020}.{}.cut", place.base, place.at));
        let file = self.disk.open(&path, Mode::Create)?;
        write_full(&*file, &bytes, 0)?;
        file.sync_data()?;
        self.disk.sync_dir(path.parent().unwrap_or(self.dir))?;
        Ok(Some(path))
    }
}

impl Place {
    /// Goes on over sound frames; says why it stopped, unless at the end or at
    /// empty space.
    fn walk(&mut self) -> io::Result<Option<&'static str>> {
        let mut walk = Walk::new(Arc::clone(&self.file), self.at, self.size);
        loop {
            match walk.step()? {
                Step::Frame { header, at, .. }
                    if header.offset == self.offset && u64::from(header.batch) <= at =>
                {
                    self.records += u64::from(header.count);
                    (self.at, self.offset) = (walk.at, header.end());
                }
                Step::Frame { .. } => return Ok(Some("it is not the record that comes next")),
                Step::Bad { reason, .. } => return Ok(Some(reason)),
                Step::Empty | Step::End => return Ok(None),
            }
        }
    }

    /// Damage in a segment that another follows: every record up to there counts.
    fn damage_before(&self, base: u64, stopped: Option<&str>) -> io::Result<Option<Damage>> {
        if self.offset >= base {
            return Ok(None);
        }
        let reason = stopped.unwrap_or("the segment ends before the next begins");
        let resumed = self.resume(base)?;
        Ok(Some(self.damage(reason, resumed, base)))
    }

    /// Damage in the last segment: only what is known to have been durable counts.
    fn damage_at_tail(&self, known: u64, stopped: Option<&str>) -> io::Result<Option<Damage>> {
        let proven = recovery::first_sync_after(&self.file, self.at, self.offset, self.size)?.is_some();
        if !proven && self.offset >= known {
            return Ok(None);
        }
        let reason = stopped.unwrap_or("records that were stored are gone");
        let resumed = if proven { self.resume(u64::MAX)? } else { None };
        Ok(Some(self.damage(reason, resumed, known.max(self.offset))))
    }

    fn damage(&self, reason: &str, resumed: Option<(u64, Header)>, next: u64) -> Damage {
        let reason = reason.to_owned();
        match resumed {
            Some((until, header)) => Damage { reason, until, follows: true, next: header.offset },
            None => Damage { reason, until: self.size.max(self.at), follows: false, next },
        }
    }

    /// The next sound frame that can belong here: where the damaged one says that
    /// it ends, or wherever there is one.
    fn resume(&self, before: u64) -> io::Result<Option<(u64, Header)>> {
        let mut from = self.at + frame::HEADER as u64;
        if let Some(claimed) = self.claimed_end()?
            && let Some(found) = self.sound_at(claimed, before)?
        {
            return Ok(Some(found));
        }
        while let Some((at, header)) = recovery::next_frame(&self.file, from, self.size)? {
            if self.belongs(at, &header, before) {
                return Ok(Some((at, header)));
            }
            from = at + 1;
        }
        Ok(None)
    }

    fn claimed_end(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; frame::HEADER];
        read_full(&*self.file, &mut bytes, self.at)?;
        Ok(frame::claimed_size(&bytes).map(|size| self.at + size as u64))
    }

    fn sound_at(&self, at: u64, before: u64) -> io::Result<Option<(u64, Header)>> {
        if at >= self.size {
            return Ok(None);
        }
        match Walk::new(Arc::clone(&self.file), at, self.size).step()? {
            Step::Frame { header, .. } if self.belongs(at, &header, before) => Ok(Some((at, header))),
            _ => Ok(None),
        }
    }

    fn belongs(&self, at: u64, header: &Header, before: u64) -> bool {
        header.offset >= self.offset && header.end() <= before && u64::from(header.batch) <= at
    }
}
