//! A frame: what one append puts on the disk.
//!
//! ```text
//! magic 4 | crc 4 | body 4 | count 4 | offset 8 | time 8 | batch 4 | zero 4 | body
//! body: count times  key length 4 | value length 4 | key | value
//! ```
//!
//! All numbers are little-endian; the CRC-32C covers everything after itself, so
//! an append is whole or not there. `batch` is where in the file the commit that
//! wrote the frame began: everything before it was durable when this frame was
//! written, which lets recovery tell damage from a torn tail. A *gap* frame stands
//! where repair gave up records: its `time` counts them, its CRC covers only the
//! header, and its body is nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::port::{Entry, Position, Record, Topic};

/// The bytes before the body.
pub(crate) const HEADER: usize = 40;
/// The largest body: what one append may hold.
pub(crate) const MAX_BODY: usize = 1 << 30;
/// How every frame with records begins; the digit is the format's version.
pub(crate) const MAGIC: [u8; 4] = *b"HKL1";
/// How every gap begins.
pub(crate) const GAP: [u8; 4] = *b"HKG1";

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) gap: bool,
    pub(crate) body: u32,
    pub(crate) count: u32,
    pub(crate) offset: u64,
    /// Milliseconds since 1970; in a gap, the number of records given up.
    pub(crate) time: u64,
    pub(crate) batch: u32,
}

/// What lies at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole and sound frame.
    Frame(Header),
    /// Nothing was ever written here.
    Empty,
    /// It takes this many bytes to tell.
    Needs(usize),
    /// No frame, and why.
    Bad(&'static str),
}

impl Header {
    /// The bytes of the whole frame.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.body as usize
    }

    /// The offset after its last record.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(if self.gap { self.time } else { u64::from(self.count) })
    }

    fn put(&self, bytes: &mut [u8]) {
        let mut out = &mut bytes[8..HEADER];
        out.put_u32_le(self.body);
        out.put_u32_le(self.count);
        out.put_u64_le(self.offset);
        out.put_u64_le(self.time);
        out.put_u32_le(self.batch);
        out.put_u32_le(0);
        bytes[..4].copy_from_slice(if self.gap { &GAP } else { &MAGIC });
        let covered = if self.gap { HEADER } else { bytes.len() };
        let crc = crc(&bytes[8..covered]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// CRC-32C.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The bytes that these records take.
pub(crate) fn size(records: &[Record]) -> usize {
    HEADER + records.iter().map(|record| 8 + record.size()).sum::<usize>()
}

/// Writes the records as one frame behind what `out` holds.
pub(crate) fn encode(out: &mut BytesMut, records: &[Record], offset: u64, time: u64, batch: u64) {
    let start = out.len();
    out.reserve(size(records));
    out.put_bytes(0, HEADER);
    for record in records {
        out.put_u32_le(narrow(record.key.len()));
        out.put_u32_le(narrow(record.value.len()));
        out.put_slice(&record.key);
        out.put_slice(&record.value);
    }
    let body = narrow(out.len() - start - HEADER);
    let batch = u32::try_from(batch).unwrap_or(u32::MAX);
    Header { gap: false, body, count: narrow(records.len()), offset, time, batch }.put(&mut out[start..]);
}

/// A gap of `size` bytes at position `at`, in place of records from `offset` on.
pub(crate) fn encode_gap(size: usize, at: u64, offset: u64, missing: u64) -> Vec<u8> {
    let mut bytes = vec![0; size.max(HEADER)];
    let body = narrow(bytes.len() - HEADER);
    let batch = u32::try_from(at).unwrap_or(u32::MAX);
    Header { gap: true, body, count: 0, offset, time: missing, batch }.put(&mut bytes);
    bytes
}

/// Lengths were checked against [`MAX_BODY`] before anything was encoded.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Tells what is at the start of `bytes`, believing none of it.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.len() < HEADER {
        return Parsed::Needs(HEADER);
    }
    if bytes[..HEADER] == [0; HEADER] {
        return Parsed::Empty;
    }
    let Some((header, stored)) = header(bytes) else {
        return Parsed::Bad("no record begins here");
    };
    if header.body as usize > MAX_BODY {
        return Parsed::Bad("its length is impossible");
    }
    if header.gap {
        return if stored == crc(&bytes[8..HEADER]) { Parsed::Frame(header) } else { Parsed::Bad(MISMATCH) };
    }
    let Some(frame) = bytes.get(..header.size()) else {
        return Parsed::Needs(header.size());
    };
    if stored != crc(&frame[8..]) {
        return Parsed::Bad(MISMATCH);
    }
    if header.count == 0 || !lengths_add_up(&frame[HEADER..], header.count) {
        return Parsed::Bad("the lengths inside do not add up");
    }
    Parsed::Frame(header)
}

const MISMATCH: &str = "its checksum does not match";

/// The header and the stored CRC, if the magic is right.
pub(crate) fn header(bytes: &[u8]) -> Option<(Header, u32)> {
    let gap = bytes.starts_with(&GAP);
    if !gap && !bytes.starts_with(&MAGIC) {
        return None;
    }
    let mut rest = bytes.get(4..HEADER)?;
    let stored = rest.get_u32_le();
    let (body, count) = (rest.get_u32_le(), rest.get_u32_le());
    let (offset, time, batch) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u32_le());
    Some((Header { gap, body, count, offset, time, batch }, stored))
}

/// The size that a frame claims, sound or not.
pub(crate) fn claimed_size(bytes: &[u8]) -> Option<usize> {
    let (header, _) = header(bytes)?;
    (header.body as usize <= MAX_BODY).then(|| header.size())
}

fn lengths_add_up(mut body: &[u8], count: u32) -> bool {
    for _ in 0..count {
        if body.len() < 8 {
            return false;
        }
        let size = u64::from(body.get_u32_le()) + u64::from(body.get_u32_le());
        if size > body.len() as u64 {
            return false;
        }
        body.advance(usize::try_from(size).unwrap_or(usize::MAX));
    }
    body.is_empty()
}

/// The entries of a sound frame, as slices of its bytes.
pub(crate) fn entries(topic: &Topic, header: Header, mut frame: Bytes) -> impl Iterator<Item = Entry> {
    frame.advance(HEADER.min(frame.len()));
    (0..u64::from(header.count)).map(move |index| {
        let (key, value) = (frame.get_u32_le() as usize, frame.get_u32_le() as usize);
        let position = Position { topic: topic.clone(), lane: 0, offset: header.offset + index };
        Entry { position, appended_ms: header.time, key: frame.split_to(key), value: frame.split_to(value) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(values: &[&str]) -> Vec<Record> {
        values.iter().map(|value| Record { key: "key".into(), value: (*value).to_owned().into() }).collect()
    }

    fn frame(values: &[&str]) -> BytesMut {
        let mut out = BytesMut::new();
        encode(&mut out, &records(values), 7, 1_000, 96);
        out
    }

    #[test]
    fn what_is_encoded_is_parsed() {
        let bytes = frame(&["a", "", "ccc"]).freeze();
        assert_eq!(bytes.len(), size(&records(&["a", "", "ccc"])));
        let Parsed::Frame(header) = parse(&bytes) else { panic!("no frame") };
        assert_eq!((header.count, header.offset, header.end(), header.batch), (3, 7, 10, 96));
        let topic = Topic::new("t").unwrap();
        let found: Vec<_> = entries(&topic, header, bytes).collect();
        assert_eq!(found.iter().map(|entry| entry.position.offset).collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(found.iter().map(|entry| &entry.value[..]).collect::<Vec<_>>(), [&b"a"[..], b"", b"ccc"]);
    }

    #[test]
    fn any_changed_bit_is_found() {
        let bytes = frame(&["some value"]);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(parse(&changed), Parsed::Frame(_)), "bit {bit} was not noticed");
        }
    }

    #[test]
    fn a_part_is_no_frame() {
        let bytes = frame(&["some value"]);
        for length in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..length]), Parsed::Needs(_)), "{length} bytes");
        }
        assert_eq!(parse(&[0; HEADER]), Parsed::Empty);
        assert!(matches!(parse(&[1; HEADER]), Parsed::Bad(_)));
    }

    #[test]
    fn a_gap_stands_for_records() {
        let bytes = encode_gap(100, 64, 5, 3);
        assert_eq!(bytes.len(), 100);
        let Parsed::Frame(header) = parse(&bytes) else { panic!("no frame") };
        assert!(header.gap);
        assert_eq!((header.size(), header.offset, header.end()), (100, 5, 8));
    }
}
