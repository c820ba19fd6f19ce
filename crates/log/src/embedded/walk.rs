//! A walk over the frames of one segment, in large reads.
//!
//! Entries are slices of what was read, so nothing is copied per record. The walk
//! believes nothing and decides nothing: it says what lies where.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{
    disk::{DiskFile, read_full},
    frame::{self, Header, Parsed},
};

/// How much is read at a time.
pub(crate) const CHUNK: usize = 128 << 10;

/// A place in a segment's file.
pub(crate) struct Walk {
    file: Arc<dyn DiskFile>,
    /// Where the next frame is expected.
    pub(crate) at: u64,
    /// Where to stop reading.
    pub(crate) end: u64,
    /// What was read from `at` on.
    ahead: Bytes,
}

/// What lies at a place.
#[derive(Debug)]
pub(crate) enum Step {
    /// A sound frame, and all its bytes.
    Frame { at: u64, header: Header, bytes: Bytes },
    /// Space that was never written.
    Empty,
    /// Something else.
    Bad { at: u64, reason: &'static str },
    /// The end of what may be read.
    End,
}

impl Walk {
    pub(crate) fn new(file: Arc<dyn DiskFile>, at: u64, end: u64) -> Self {
        Self { file, at, end, ahead: Bytes::new() }
    }

    /// Whether the next frame was read already.
    pub(crate) fn is_ahead(&self) -> bool {
        frame::claimed_size(&self.ahead).is_some_and(|size| size <= self.ahead.len())
    }

    /// The next frame, or why there is none. Only a frame moves the walk on.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        loop {
            let at = self.at;
            match frame::parse(&self.ahead) {
                Parsed::Frame(header) if header.size() as u64 > self.end - at => {
                    return Ok(self.short(header.size()));
                }
                Parsed::Frame(header) => {
                    let bytes = self.take(header);
                    return Ok(Step::Frame { at, header, bytes });
                }
                Parsed::Empty => return Ok(Step::Empty),
                Parsed::Bad(reason) => return Ok(Step::Bad { at, reason }),
                Parsed::Needs(_) if at >= self.end => return Ok(Step::End),
                Parsed::Needs(size) => {
                    let wanted = size as u64;
                    if wanted > self.end - at || !self.load(size)? {
                        return Ok(self.short(size));
                    }
                }
            }
        }
    }

    /// The frame's bytes; a gap's body is never looked at.
    fn take(&mut self, header: Header) -> Bytes {
        self.at += header.size() as u64;
        self.ahead.split_to(header.size().min(self.ahead.len()))
    }

    /// Reads at least `size` bytes from `at` on, if they are there.
    fn load(&mut self, size: usize) -> io::Result<bool> {
        let available = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::zeroed(size.max(CHUNK).min(available));
        let read = read_full(&*self.file, &mut bytes, self.at)?;
        bytes.truncate(read);
        self.ahead = bytes.freeze();
        Ok(read >= size)
    }

    /// The file ends before the frame does.
    fn short(&mut self, size: usize) -> Step {
        let available = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if size == frame::HEADER
            && self.load(available.min(size)).is_ok()
            && self.ahead.iter().all(|b| *b == 0)
        {
            return Step::Empty;
        }
        Step::Bad { at: self.at, reason: "the file ends within it" }
    }
}
