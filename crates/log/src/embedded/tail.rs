//! The end of a lane, where the writer appends.
//!
//! Appends go through four stations: *staged* in the buffer, *written* to the file,
//! *synced*, and only then *shown* to readers and acknowledged. A write that finds
//! no space takes its station back, so a half record is never built upon. The next
//! segment comes into being only when all of this one is durable.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::BytesMut;

use super::{
    disk::{Disk, DiskFile, Mode, is_full, write_full},
    frame::{self, Header},
    index::Index,
    lane::Lane,
    segment::{self, Segment},
};
use crate::port::Record;

/// What the first reservation of a lane's file covers; later ones double.
const FIRST_STEP: u64 = 1 << 20;

/// The writable end of a lane.
pub(crate) struct Tail {
    pub(crate) lane: Arc<Lane>,
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn DiskFile>,
    /// How far the file is reserved, by this thread or ahead by the keeper.
    pub(crate) reserved: Arc<AtomicU64>,
    /// A file that the keeper made ready for the next segment.
    pub(crate) spare: Arc<Mutex<Option<Spare>>>,
    /// Whether the keeper was asked for a spare.
    pub(crate) spare_wanted: bool,
    durable: u64,
    written: Place,
    staged: Place,
    buffer: BytesMut,
    /// Frames that are not shown yet.
    frames: Vec<(u64, Header)>,
    written_frames: usize,
}

/// A file for the next segment, under a temporary name.
pub(crate) struct Spare {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
}

/// How far a station is.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    next: u64,
    ms: u64,
}

/// Why nothing can be written.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No space; everything is as it was.
    Full(String),
    /// The system said no before anything was written.
    Refused(String),
    /// What is on the disk is not known any more.
    Poison(String),
}

impl Tail {
    /// The end of a lane whose last segment is `segment`.
    pub(crate) fn new(
        lane: Arc<Lane>,
        segment: Arc<Segment>,
        file: Arc<dyn DiskFile>,
        index: &Index,
        last_ms: u64,
    ) -> Self {
        let place = Place { at: index.len, next: index.end, ms: last_ms };
        Self {
            lane,
            segment,
            file,
            reserved: Arc::new(index.len.into()),
            spare: Arc::default(),
            spare_wanted: false,
            durable: index.len,
            written: place,
            staged: place,
            buffer: BytesMut::new(),
            frames: Vec::new(),
            written_frames: 0,
        }
    }

    /// Stages one append and says its first offset.
    pub(crate) fn stage(&mut self, records: &[Record], now_ms: u64) -> u64 {
        let Place { at, next, ms } = self.staged;
        let start = self.buffer.len();
        let time = now_ms.max(ms);
        frame::encode(&mut self.buffer, records, next, time, self.durable);
        let size = self.buffer.len() - start;
        let header = frame::header(&self.buffer[start..]).map(|(header, _)| header);
        self.frames.extend(header.map(|header| (at, header)));
        self.staged = Place { at: at + size as u64, next: next + records.len() as u64, ms: time };
        next
    }

    /// Whether a frame of this size still belongs in this segment.
    pub(crate) fn fits(&self, size: usize, segment_bytes: u64) -> bool {
        self.staged.at == 0 || self.staged.at + size as u64 <= segment_bytes
    }

    /// Bytes in the segment, staged ones included.
    pub(crate) fn filled(&self) -> u64 {
        self.staged.at
    }

    /// Whether something is written that is not synced.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.written.at > self.durable
    }

    /// Writes what is staged, and says how many bytes that was. When there is no
    /// space, nothing is staged any more.
    pub(crate) fn write(&mut self) -> Result<usize, Failure> {
        if self.buffer.is_empty() {
            return Ok(0);
        }
        let written = self.reserve(self.staged.at).and_then(|()| {
            write_full(&*self.file, &self.buffer, self.written.at).map_err(|error| self.take_back(&error))
        });
        let size = self.buffer.len();
        self.buffer.clear();
        if let Err(failure) = written {
            self.frames.truncate(self.written_frames);
            self.staged = self.written;
            return Err(failure);
        }
        self.written = self.staged;
        self.written_frames = self.frames.len();
        Ok(size)
    }

    /// Reserves the file up to `end`, unless it is already.
    fn reserve(&self, end: u64) -> Result<(), Failure> {
        let reserved = self.reserved.load(Ordering::Acquire);
        if reserved >= end {
            return Ok(());
        }
        match allocate(&*self.file, reserved, end) {
            Ok(()) => {
                self.reserved.fetch_max(end, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => Err(refusal("reserve space", &error)),
        }
    }

    /// Cuts what a failed write may have left.
    fn take_back(&self, error: &io::Error) -> Failure {
        if !is_full(error) {
            return Failure::Poison(format!("cannot write: {error}"));
        }
        if let Err(error) = self.file.set_len(self.written.at) {
            return Failure::Poison(format!("cannot cut a half written record: {error}"));
        }
        self.reserved.store(self.written.at, Ordering::Release);
        refusal("write", error)
    }

    /// Makes what is written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        // A failed sync is never tried again: the machine may have forgotten what
        // it could not write, and would call the second one a success.
        self.file.sync_data().map_err(|error| Failure::Poison(format!("cannot sync: {error}")))?;
        self.durable = self.written.at;
        Ok(())
    }

    /// Shows readers what is durable.
    pub(crate) fn show(&mut self) {
        let frames = self.frames.drain(..self.written_frames);
        self.segment.grow(|index| frames.for_each(|(at, header)| index.push(&header, at)));
        self.written_frames = 0;
        self.lane.show(self.written.next);
    }

    /// Begins the next segment. All of this one is written, synced and shown.
    pub(crate) fn rotate(&mut self, disk: &dyn Disk, segment_bytes: u64) -> Result<(), Failure> {
        let base = self.staged.next;
        let path = segment::path(&self.lane.dir, base);
        let (file, reserved) = self.next_file(disk, &path, segment_bytes)?;
        if let Err(error) = disk.sync_dir(&self.lane.dir) {
            return Err(Failure::Poison(format!("cannot sync a directory: {error}")));
        }
        self.segment = Arc::new(Segment::indexed(&self.lane.dir, base, Index::new(base)));
        self.lane.segments_mut().push(Arc::clone(&self.segment));
        self.file = file;
        self.reserved = Arc::new(reserved.into());
        self.durable = 0;
        self.staged.at = 0;
        self.written = self.staged;
        Ok(())
    }

    /// The file that the keeper made ready, or a new one.
    fn next_file(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        segment_bytes: u64,
    ) -> Result<(Arc<dyn DiskFile>, u64), Failure> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.spare_wanted = false;
        match spare {
            Some(spare) => spare.name(disk, path),
            None => create(disk, path, segment_bytes),
        }
    }
}

impl Spare {
    /// Gives the file its name, with which it becomes the lane's last segment.
    fn name(self, disk: &dyn Disk, path: &Path) -> Result<(Arc<dyn DiskFile>, u64), Failure> {
        disk.rename(&self.path, path).map_err(|error| refusal("name a segment", &error))?;
        Ok((self.file, self.size))
    }
}

/// Makes the file of a new segment, with some space reserved.
pub(crate) fn create(
    disk: &dyn Disk,
    path: &Path,
    segment_bytes: u64,
) -> Result<(Arc<dyn DiskFile>, u64), Failure> {
    let size = FIRST_STEP.min(segment_bytes);
    // INVARIANT: a segment gets its name only when nothing can refuse it any more.
    // One that was made and removed again could come back in a crash, as an empty
    // last segment in front of records that went to the one before.
    let unnamed = path.with_file_name("new.tmp");
    let made = disk.open(&unnamed, Mode::Create).and_then(|file| {
        allocate(&*file, 0, size)?;
        Ok(file)
    });
    let file = made.map_err(|error| refusal("make a segment", &error))?;
    Spare { file, path: unnamed, size }.name(disk, path)
}

/// Reserves a range. A file system that cannot reserve grows files as they are
/// written, so a write may then find the disk full.
pub(crate) fn allocate(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    match file.allocate(from, to - from) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        done => done,
    }
}

pub(crate) fn refusal(what: &str, error: &io::Error) -> Failure {
    let reason = format!("cannot {what}: {error}");
    if is_full(error) { Failure::Full(reason) } else { Failure::Refused(reason) }
}
