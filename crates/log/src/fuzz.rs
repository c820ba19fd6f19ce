//! What fuzzers call: any bytes as a frame, and any bytes as a segment.
//!
//! A panic is a finding. The same functions run over a fixed corpus in the tests,
//! so that they hold where no fuzzer is installed.

use std::{path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::{
    embedded::{frame, recovery, repair, segment, verify},
    port::{Record, Topic},
    sim::SimDisk,
};

/// Reads the bytes as a frame. One that is sound is taken apart and must be what
/// encoding its records gives.
pub fn frame(bytes: &[u8]) {
    let frame::Parsed::Frame(header) = frame::parse(bytes) else { return };
    if header.gap {
        return;
    }
    let whole = Bytes::copy_from_slice(&bytes[..header.size()]);
    let topic = Topic::new("t").expect("a topic's name");
    let entries = frame::entries(&topic, header, whole.clone());
    let records: Vec<_> = entries.map(|entry| Record { key: entry.key, value: entry.value }).collect();
    let mut again = BytesMut::new();
    frame::encode(&mut again, &records, header.offset, header.time, header.batch.into());
    assert_eq!(again.freeze(), whole, "a sound frame has another encoding");
}

/// Recovers a lane whose last segment is these bytes. Whatever they are, repair
/// makes a log of them that opens, and opening it twice finds the same.
pub fn segment(bytes: &[u8]) {
    let (dir, topic) = (Path::new("/log"), Topic::new("t").expect("a topic's name"));
    let path = segment::path(&dir.join("topics/t"), 0);
    let sim = SimDisk::new(0);
    sim.put(&path, bytes);
    let disk = sim.process();
    let recover = || recovery::recover(&disk, dir, &topic, 0);
    if recover().is_err() {
        let now: crate::Now = Arc::new(|| 0);
        let before = verify(dir, &disk, &mut |_| {}).expect("verified");
        assert!(!before.problems.is_empty(), "what cannot be opened has a problem");
        repair(dir, "fuzz", &now, &disk, &mut |_| {}).expect("repaired");
        let after = verify(dir, &disk, &mut |_| {}).expect("verified");
        assert!(after.problems.is_empty(), "repair left {:?}", after.problems);
    }
    let end = || recover().ok().flatten().map(|(lane, _)| lane.end());
    let first = end();
    assert!(first.is_some(), "a repaired segment cannot be opened");
    assert_eq!(end(), first, "a second recovery found something else");
}

/// Some sound frames in a row, as a writer leaves them, for the fuzzers to change.
pub fn sound_segment(values: &[&[u8]]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for (offset, value) in values.iter().enumerate() {
        let record = Record { key: Bytes::from_static(b"key"), value: Bytes::copy_from_slice(value) };
        let batch = out.len() as u64;
        frame::encode(&mut out, &[record], offset as u64, 1_000 + offset as u64, batch);
    }
    out.to_vec()
}
