//! The sparse index of a segment: about one mark per 64 KiB.
//!
//! The rule: it only says where to start looking. Whatever it says is checked
//! against the segment, and an index that is missing, damaged or wrong is built
//! again from the segment.

use bytes::{Buf, BufMut};

use super::frame::{Header, crc};

const MAGIC: [u8; 8] = *b"HOOKIDX1";
const FIXED: usize = 40;
const MARK: usize = 24;
/// Bytes of segment between marks.
const SPACING: u64 = 64 << 10;

/// Where some records of a segment lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    marks: Vec<Mark>,
    /// When the last record was appended.
    pub(crate) last_time: u64,
    /// The offset after the last record.
    pub(crate) end: u64,
    /// The bytes of the segment that hold frames.
    pub(crate) len: u64,
}

/// A frame's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) time: u64,
    pub(crate) at: u64,
}

impl Index {
    /// Of a segment that begins at this offset and holds nothing.
    pub(crate) fn new(base: u64) -> Self {
        Self { end: base, ..Self::default() }
    }

    /// Takes note of the frame at `at`, the next of the segment.
    pub(crate) fn push(&mut self, header: &Header, at: u64) {
        if !header.gap {
            self.last_time = header.time;
        }
        if self.marks.last().is_none_or(|last| at - last.at >= SPACING) {
            self.marks.push(Mark { offset: header.offset, time: self.last_time, at });
        }
        self.end = header.end();
        self.len = at + header.size() as u64;
    }

    /// The last mark that is not behind `offset`.
    pub(crate) fn before_offset(&self, offset: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        self.marks[..after].last().copied()
    }

    /// The last mark whose records are all older than `time`, or the first mark.
    pub(crate) fn before_time(&self, time: u64) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.time < time);
        self.marks[..after].last().or(self.marks.first()).copied()
    }

    /// When the first record was appended, if there is one.
    pub(crate) fn first_time(&self) -> Option<u64> {
        self.marks.first().map(|mark| mark.time)
    }

    /// As stored in an `.idx` file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + self.marks.len() * MARK);
        out.put_slice(&MAGIC);
        out.put_u32_le(0);
        out.put_u32_le(u32::try_from(self.marks.len()).unwrap_or(u32::MAX));
        out.put_u64_le(self.end);
        out.put_u64_le(self.len);
        out.put_u64_le(self.last_time);
        for mark in &self.marks {
            out.put_u64_le(mark.offset);
            out.put_u64_le(mark.time);
            out.put_u64_le(mark.at);
        }
        let crc = crc(&out[12..]);
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// From an `.idx` file; `None` when it is not one, or damaged.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FIXED || !bytes.starts_with(&MAGIC) {
            return None;
        }
        bytes.advance(MAGIC.len());
        if bytes.get_u32_le() != crc(bytes) {
            return None;
        }
        let count = bytes.get_u32_le() as usize;
        let (end, len, last_time) = (bytes.get_u64_le(), bytes.get_u64_le(), bytes.get_u64_le());
        if bytes.len() != count.checked_mul(MARK)? {
            return None;
        }
        let mut mark =
            || Mark { offset: bytes.get_u64_le(), time: bytes.get_u64_le(), at: bytes.get_u64_le() };
        Some(Self { marks: (0..count).map(|_| mark()).collect(), last_time, end, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::new(10);
        let mut at = 0;
        for number in 0..10 {
            let header = Header {
                gap: false,
                body: 30_000,
                count: 2,
                offset: 10 + 2 * number,
                time: 100 * number,
                batch: 0,
            };
            index.push(&header, at);
            at += header.size() as u64;
        }
        index
    }

    #[test]
    fn finds_the_mark_before() {
        let index = index();
        assert_eq!((index.end, index.last_time, index.len), (30, 900, 10 * 30_040));
        let check =
            |offset, expected| assert_eq!(index.before_offset(offset).map(|mark| mark.offset), expected);
        check(9, None);
        check(10, Some(10));
        check(15, Some(10));
        check(16, Some(16));
        check(99, Some(28));
        let check =
            |time, expected| assert_eq!(index.before_time(time).map(|mark| mark.offset), Some(expected));
        check(0, 10);
        check(300, 10);
        check(301, 16);
        check(5_000, 28);
    }

    #[test]
    fn is_stored_and_never_trusted() {
        let stored = index().encode();
        assert_eq!(Index::decode(&stored), Some(index()));
        for byte in 0..stored.len() {
            let mut changed = stored.clone();
            changed[byte] ^= 0x10;
            assert_eq!(Index::decode(&changed), None, "byte {byte}");
        }
        assert_eq!(Index::decode(&stored[..stored.len() - 1]), None);
        assert_eq!(Index::decode(&[]), None);
    }
}
