//! Reading: subscriptions and scans, each with its own file handle.
//!
//! A reader takes no lock that the writer waits for. Its state moves only when
//! records are handed out, and what was read ahead stays with it, so a future that
//! is dropped loses nothing. A reader whose place retention removed goes on at the
//! oldest record that is left.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    disk::{Disk, Mode},
    frame,
    lane::Lane,
    segment::Segment,
    walk::{Step, Walk},
};
use crate::port::{Entry, ReadError};

/// The most entries that are made ready at a time.
const READY: usize = 1024;
/// What lies closer to the end than this was written a moment ago, so reading it
/// costs no disk access and no other thread.
const RECENT: u64 = 1 << 20;

/// A place in a lane from which entries are taken.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Mutex<Reader>>);

struct Reader {
    disk: Arc<dyn Disk>,
    lane: Arc<Lane>,
    /// The next offset to make ready.
    next: u64,
    /// Where to stop, for a scan.
    stop: u64,
    open: Option<(Arc<Segment>, Walk)>,
    ready: VecDeque<Entry>,
}

impl Feed {
    /// Entries from `next` up to but not including `stop`.
    pub(crate) fn new(disk: Arc<dyn Disk>, lane: Arc<Lane>, next: u64, stop: u64) -> Self {
        let reader = Reader { disk, lane, next, stop, open: None, ready: VecDeque::new() };
        Self(Arc::new(Mutex::new(reader)))
    }

    /// At most `max` entries; empty when there are none now.
    pub(crate) async fn take(&self, max: usize) -> Result<Vec<Entry>, ReadError> {
        if let Some(entries) = self.take_at_once(max)? {
            return Ok(entries);
        }
        let feed = self.clone();
        let filled = tokio::task::spawn_blocking(move || feed.with(Reader::fill)).await;
        filled.map_err(|error| ReadError::Unavailable(error.to_string()))??;
        Ok(self.with(|reader| reader.hand_out(max)))
    }

    /// The same on this thread.
    pub(crate) fn take_blocking(&self, max: usize) -> Result<Vec<Entry>, ReadError> {
        self.with(|reader| {
            if reader.ready.is_empty() {
                reader.fill()?;
            }
            Ok(reader.hand_out(max))
        })
    }

    /// What can be had without waiting for the disk; `None` when that is needed.
    fn take_at_once(&self, max: usize) -> Result<Option<Vec<Entry>>, ReadError> {
        // Busy only while a read whose future was dropped goes on.
        let Ok(mut reader) = self.0.try_lock() else { return Ok(None) };
        if reader.ready.is_empty() && !reader.is_at_end() {
            if !reader.is_recent() {
                return Ok(None);
            }
            reader.fill()?;
        }
        Ok(Some(reader.hand_out(max)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Reader) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reader {
    fn hand_out(&mut self, max: usize) -> Vec<Entry> {
        self.ready.drain(..max.max(1).min(self.ready.len())).collect()
    }

    fn is_at_end(&self) -> bool {
        self.next >= self.lane.end().min(self.stop)
    }

    /// Whether the rest of the lane is short and was just written.
    fn is_recent(&self) -> bool {
        let Some((segment, walk)) = &self.open else { return false };
        walk.is_ahead()
            || (self.lane.after(segment.base).is_none() && segment.len().saturating_sub(walk.at) <= RECENT)
    }

    /// Makes some entries ready, if there are any.
    fn fill(&mut self) -> Result<(), ReadError> {
        while self.ready.is_empty() && !self.is_at_end() {
            let (segment, mut walk) = match self.open.take() {
                Some(open) => open,
                None => self.open()?,
            };
            // The next segment is looked for before this one's length: once there
            // is a next, this one grows no more.
            let next = self.lane.after(segment.base);
            walk.end = segment.len();
            let ended = self.read(&segment, &mut walk, next.as_ref().map(|next| next.base))?;
            self.open = match next {
                Some(next) if ended => Some(self.follow(&segment, walk.at, next)?),
                None if ended && self.is_cut_short(&segment) => {
                    return Err(corrupt(&segment, walk.at, &lost(self.next, self.lane.end())));
                }
                _ => Some((segment, walk)),
            };
        }
        Ok(())
    }

    /// Reads frames while they are ahead; whether the segment holds no more.
    fn read(&mut self, segment: &Segment, walk: &mut Walk, next: Option<u64>) -> Result<bool, ReadError> {
        loop {
            if next == Some(self.next) {
                return Ok(true);
            }
            match walk.step()? {
                Step::Frame { header, bytes, at } => {
                    if header.offset > self.next {
                        return Err(corrupt(segment, at, &lost(self.next, header.offset)));
                    }
                    if !header.gap && header.end() > self.next {
                        let wanted = self.next..self.stop;
                        let entries = frame::entries(&self.lane.topic, header, bytes);
                        self.ready.extend(entries.filter(|entry| wanted.contains(&entry.position.offset)));
                    }
                    self.next = self.next.max(header.end());
                }
                Step::Bad { at, reason } => return Err(corrupt(segment, at, reason)),
                Step::Empty | Step::End => return Ok(true),
            }
            if self.next >= self.stop || self.ready.len() >= READY {
                return Ok(false);
            }
            if !self.ready.is_empty() && !walk.is_ahead() {
                return Ok(false);
            }
        }
    }

    /// Whether the last segment ended before the lane does.
    fn is_cut_short(&self, segment: &Segment) -> bool {
        self.ready.is_empty() && !self.is_at_end() && self.lane.after(segment.base).is_none()
    }

    /// Opens the segment that holds `next`, at a frame not behind it.
    fn open(&mut self) -> Result<(Arc<Segment>, Walk), ReadError> {
        loop {
            self.next = self.next.max(self.lane.first());
            let segment = self.lane.holding(self.next).ok_or(ReadError::Closed)?;
            match open_at(&*self.disk, &segment, self.next) {
                Ok(walk) => return Ok((segment, walk)),
                // Retention took it between the two lines above.
                Err(error) if error.kind() == io::ErrorKind::NotFound && segment.base < self.lane.first() => {
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Goes over to the next segment, unless something between is missing.
    fn follow(
        &mut self,
        segment: &Segment,
        at: u64,
        next: Arc<Segment>,
    ) -> Result<(Arc<Segment>, Walk), ReadError> {
        if self.next < next.base {
            let retained = self.lane.first() <= segment.base;
            if retained {
                return Err(corrupt(segment, at, &lost(self.next, next.base)));
            }
            self.next = next.base;
        }
        match open_at(&*self.disk, &next, next.base) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.open(),
            walk => Ok((next, walk?)),
        }
    }
}

/// A walk from a frame that is not behind `offset`.
fn open_at(disk: &dyn Disk, segment: &Segment, offset: u64) -> io::Result<Walk> {
    let file = disk.open(&segment.path, Mode::Read)?;
    if offset == segment.base {
        return Ok(Walk::new(file, 0, segment.len()));
    }
    for _ in 0..2 {
        let Some(mark) = segment.before_offset(disk, &file, offset)? else { break };
        let mut walk = Walk::new(Arc::clone(&file), mark.at, segment.len());
        if matches!(walk.step()?, Step::Frame { header, .. } if header.offset == mark.offset) {
            return Ok(Walk::new(file, mark.at, segment.len()));
        }
        segment.rebuild(disk, &file)?;
    }
    Ok(Walk::new(file, 0, segment.len()))
}

fn corrupt(segment: &Segment, byte: u64, reason: &str) -> ReadError {
    ReadError::Corrupt { file: segment.path.display().to_string(), byte, reason: reason.to_owned() }
}

fn lost(from: u64, to: u64) -> String {
    format!("records {from} to {} are missing", to - 1)
}
