//! Where groups stand, on the disk: two slot files, written in turn.
//!
//! A slot is only overwritten while the other is known to be durable, so a torn
//! write costs at most the last second's commits and those records come again. No
//! commit waits for the disk. Beside the groups a slot remembers how far every
//! topic was durable, which shows when records vanish from a lane's end.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use bytes::{Buf, BufMut};
use serde::{Deserialize, Serialize};

use super::{
    disk::{Disk, DiskFile, Mode, read_small, write_full},
    frame::crc,
};
use crate::{groups::Groups, port::Topic};

const NAMES: [&str; 2] = ["cursors.a", "cursors.b"];
const MAGIC: [u8; 8] = *b"HOOKCUR1";
const FIXED: usize = 24;
const MAX_SLOT: u64 = 256 << 20;

/// What the slots hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) groups: Groups,
    /// Per topic, the offset after the last record that was durable.
    pub(crate) ends: BTreeMap<Topic, u64>,
}

/// The two slot files.
pub(crate) struct Slots {
    files: [Arc<dyn DiskFile>; 2],
    /// Which is written to; the other is durable.
    current: usize,
    sequence: u64,
}

impl Slots {
    /// Opens the slots and reads the newest that is sound.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> io::Result<(Self, Saved)> {
        let open = |name: &str| disk.open(&dir.join(name), Mode::Create);
        let (newest, saved, sequence) = newest(disk, dir)?;
        let files = [open(NAMES[0])?, open(NAMES[1])?];
        disk.sync_dir(dir)?;
        // What was read may be in the machine's memory only, and after a failed sync
        // it stays there unless it is written again.
        let bytes = read_small(disk, &dir.join(NAMES[newest]), MAX_SLOT)?.unwrap_or_default();
        write_full(&*files[newest], &bytes, 0)?;
        files[newest].sync_data()?;
        Ok((Self { files, current: 1 - newest, sequence }, saved))
    }

    /// Writes a slot, so that it outlives the process.
    pub(crate) fn write(&mut self, saved: &Saved) -> io::Result<()> {
        self.sequence += 1;
        write_full(&*self.files[self.current], &encode(saved, self.sequence), 0)
    }

    /// Makes the written slot durable, so that it outlives the machine too.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.files[self.current].sync_data()?;
        self.current = 1 - self.current;
        Ok(())
    }
}

/// The newest sound slot, read only: its number, what it holds, its sequence.
pub(crate) fn newest(disk: &dyn Disk, dir: &Path) -> io::Result<(usize, Saved, u64)> {
    let mut best = (0, Saved::default(), 0);
    for (slot, name) in NAMES.into_iter().enumerate() {
        let bytes = read_small(disk, &dir.join(name), MAX_SLOT)?.unwrap_or_default();
        if let Some((saved, sequence)) = decode(&bytes).filter(|(_, sequence)| *sequence > best.2) {
            best = (slot, saved, sequence);
        }
    }
    Ok(best)
}

fn encode(saved: &Saved, sequence: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_slice(&MAGIC);
    out.put_u32_le(0);
    out.put_u32_le(0);
    out.put_u64_le(sequence);
    serde_json::to_writer(&mut out, saved).expect("maps with text keys become JSON");
    let length = u32::try_from(out.len() - FIXED).unwrap_or(u32::MAX);
    out[12..16].copy_from_slice(&length.to_le_bytes());
    let crc = crc(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

/// A slot's contents, if it is whole. Longer, older contents may follow.
fn decode(bytes: &[u8]) -> Option<(Saved, u64)> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    if rest.len() < FIXED - MAGIC.len() {
        return None;
    }
    let stored = rest.get_u32_le();
    let length = rest.get_u32_le() as usize;
    let sequence = rest.get_u64_le();
    let body = rest.get(..length)?;
    if crc(&bytes[12..FIXED + length]) != stored {
        return None;
    }
    Some((serde_json::from_slice(body).ok()?, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(end: u64) -> Saved {
        Saved { ends: [(Topic::new("t").unwrap(), end)].into(), ..Saved::default() }
    }

    #[test]
    fn a_slot_is_whole_or_nothing() {
        let bytes = encode(&saved(7), 3);
        assert_eq!(decode(&bytes), Some((saved(7), 3)));
        assert_eq!(decode(&[&bytes[..], b"older and longer"].concat()), Some((saved(7), 3)));
        for byte in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[byte] ^= 1;
            assert_eq!(decode(&torn), None, "byte {byte}");
            assert_eq!(decode(&bytes[..byte]), None, "cut at {byte}");
        }
    }
}
