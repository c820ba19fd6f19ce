//! A topic's lane, as the writer, the readers and the keeper share it.
//!
//! Readers go by `end` and by each segment's `len`, which only ever show what is
//! durable. The list of segments is never empty: retention leaves the last, so the
//! next offset is known even when every record is gone.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    disk::{Disk, Mode},
    segment::Segment,
    walk::{Step, Walk},
};
use crate::port::{Lane as LaneInfo, Start, Topic, TopicInfo};

/// What is known of a topic.
pub(crate) struct Lane {
    pub(crate) topic: Topic,
    pub(crate) dir: PathBuf,
    segments: RwLock<Vec<Arc<Segment>>>,
    end: AtomicU64,
}

impl Lane {
    /// A lane of these segments, of which there is at least one.
    pub(crate) fn new(topic: Topic, dir: PathBuf, segments: Vec<Arc<Segment>>, end: u64) -> Self {
        Self { topic, dir, segments: RwLock::new(segments), end: end.into() }
    }

    /// The offset after the last durable record.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Shows readers what became durable; the segment's `len` was shown before.
    pub(crate) fn show(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// The oldest offset retained.
    pub(crate) fn first(&self) -> u64 {
        self.segments().first().map_or(0, |segment| segment.base)
    }

    /// The segments, oldest first.
    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segments, to add the next or to drop the oldest.
    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment in which an offset lies, or the oldest.
    pub(crate) fn holding(&self, offset: u64) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.base <= offset);
        segments.get(after.saturating_sub(1)).cloned()
    }

    /// The segment after the one that begins at `base`.
    pub(crate) fn after(&self, base: u64) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.base <= base);
        segments.get(after).cloned()
    }

    /// The offset where `start` lies now.
    pub(crate) fn resolve(&self, disk: &dyn Disk, start: Start) -> io::Result<u64> {
        let (first, end) = (self.first(), self.end());
        Ok(match start {
            Start::Beginning => first,
            Start::Now => end,
            Start::Offset(offset) => offset.clamp(first, end.max(first)),
            Start::Time(ms) => self.at_time(disk, ms)?.clamp(first, end.max(first)),
        })
    }

    /// The first record that was appended at or after a time, or the end.
    fn at_time(&self, disk: &dyn Disk, ms: u64) -> io::Result<u64> {
        let segments = self.segments().clone();
        let mut failure = None;
        let is_before = |segment: &Arc<Segment>| match first_time(disk, segment) {
            Ok(time) => time.is_some_and(|time| time < ms),
            Err(error) => {
                // A segment that retention has just removed was the oldest.
                let gone = error.kind() == io::ErrorKind::NotFound;
                failure = failure.take().or((!gone).then_some(error));
                true
            }
        };
        let after = segments.partition_point(is_before);
        if let Some(error) = failure {
            return Err(error);
        }
        let later = segments.get(after).map_or_else(|| self.end(), |segment| segment.base);
        let Some(segment) = after.checked_sub(1).and_then(|index| segments.get(index)) else {
            return Ok(later);
        };
        let file = match disk.open(&segment.path, Mode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(later),
            file => file?,
        };
        let mark = segment.ask(disk, &file, |index| index.before_time(ms))?;
        let mut walk = Walk::new(file, mark.map_or(0, |mark| mark.at), segment.len());
        while let Step::Frame { header, .. } = walk.step()? {
            if !header.gap && header.time >= ms {
                return Ok(header.offset);
            }
        }
        Ok(later)
    }

    /// For those who list topics.
    pub(crate) fn info(&self) -> TopicInfo {
        let lane = LaneInfo { lane: 0, first: self.first(), next: self.end(), bytes: self.bytes() };
        TopicInfo { topic: self.topic.clone(), lanes: vec![lane] }
    }

    /// The bytes of all frames.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.len()).sum()
    }
}

fn first_time(disk: &dyn Disk, segment: &Segment) -> io::Result<Option<u64>> {
    let file = disk.open(&segment.path, Mode::Read)?;
    segment.ask(disk, &file, super::index::Index::first_time)
}
