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
    /// Whether that one is whole since the last sync, so that a sync may count.
    written: bool,
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
        Ok((Self { files, current: 1 - newest, written: false, sequence }, saved))
    }

    /// Writes a slot, so that it outlives the process.
    pub(crate) fn write(&mut self, saved: &Saved) -> io::Result<()> {
        self.sequence += 1;
        self.written = false;
        write_full(&*self.files[self.current], &encode(saved, self.sequence), 0)?;
        self.written = true;
        Ok(())
    }

    /// Makes the written slot durable, so that it outlives the machine too. After a
    /// failure there is nothing to sync until it is written again: what the machine
    /// dropped then would pass for durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.written) {
            return Ok(());
        }
        self.files[self.current].sync_data()?;
        self.current = 1 - self.current;
        Ok(())
    }
}

/// The newest sound slot, read only: its number, what it holds, its sequence.
///
/// The first write of all goes to the second slot, and may be torn. Whatever is in
/// the first came after the second was durable, so then one of them must be sound.
pub(crate) fn newest(disk: &dyn Disk, dir: &Path) -> io::Result<(usize, Saved, u64)> {
    let read = |name| Ok::<_, io::Error>(read_small(disk, &dir.join(name), MAX_SLOT)?.unwrap_or_default());
    let slots = [read(NAMES[0])?, read(NAMES[1])?];
    let mut best = (0, Saved::default(), 0);
    for (slot, bytes) in slots.iter().enumerate() {
        if let Some((saved, sequence)) = decode(bytes).filter(|(_, sequence)| *sequence > best.2) {
            best = (slot, saved, sequence);
        }
    }
    if best.2 == 0 && !slots[0].is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, damaged(dir)));
    }
    Ok(best)
}

fn damaged(dir: &Path) -> String {
    let [one, other] = NAMES.map(|name| dir.join(name));
    format!(
        "neither {} nor {} is sound, so how far each group has read is not known\n  \
         hint: put back a copy of both, or remove both: every group then starts as if it were new",
        one.display(),
        other.display()
    )
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
    use crate::sim::SimDisk;

    const DIR: &str = "/log";

    fn saved(end: u64) -> Saved {
        saved_of(1, end)
    }

    fn saved_of(topics: usize, end: u64) -> Saved {
        let topic = |number| Topic::new(&format!("t{number}")).unwrap();
        Saved { ends: (0..topics).map(|number| (topic(number), end)).collect(), ..Saved::default() }
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

    fn open(sim: &SimDisk) -> io::Result<(Slots, Saved)> {
        let disk = sim.process();
        disk.create_dir(Path::new(DIR))?;
        disk.sync_dir(Path::new("/"))?;
        Slots::open(&*disk, Path::new(DIR))
    }

    /// Slots of which one is durable, with `saved(1)` in it.
    fn saved_once(seed: u64) -> (SimDisk, Slots) {
        let sim = SimDisk::new(seed);
        let mut slots = open(&sim).unwrap().0;
        slots.write(&saved(1)).unwrap();
        slots.sync().unwrap();
        (sim, slots)
    }

    fn found(sim: &SimDisk) -> u64 {
        open(sim).unwrap().1.ends[&Topic::new("t0").unwrap()]
    }

    #[test]
    fn a_failed_write_never_costs_the_sound_slot() {
        let (sim, mut slots) = saved_once(0);
        sim.set_capacity(sim.used() + 30);
        for _ in 0..3 {
            slots.write(&saved(1 << 60)).unwrap_err();
            slots.sync().unwrap();
        }
        sim.kill();
        sim.set_capacity(u64::MAX);
        assert_eq!(found(&sim), 1);
    }

    #[test]
    fn a_failed_sync_never_costs_the_sound_slot() {
        for seed in 0..64 {
            let (sim, mut slots) = saved_once(seed);
            sim.fail_syncs(1);
            slots.write(&saved_of(200, 2)).unwrap();
            slots.sync().unwrap_err();
            slots.sync().unwrap();
            slots.write(&saved_of(200, 3)).unwrap();
            sim.crash();
            assert!((1..=3).contains(&found(&sim)), "seed {seed}");
        }
    }

    #[test]
    fn two_bad_slots_are_an_error_that_says_what_to_do() {
        let (sim, mut slots) = saved_once(0);
        slots.write(&saved(2)).unwrap();
        slots.sync().unwrap();
        for name in NAMES {
            assert!(open(&sim).is_ok(), "one sound slot is enough");
            sim.flip(&Path::new(DIR).join(name), 30);
        }
        let error = open(&sim).err().unwrap().to_string();
        assert!(error.contains("/log/cursors.a nor /log/cursors.b") && error.contains("hint: "), "{error}");
    }

    #[test]
    fn a_torn_first_write_is_a_new_log() {
        let sim = SimDisk::new(0);
        sim.put(&Path::new(DIR).join(NAMES[1]), &encode(&saved(1), 1)[..20]);
        let (mut slots, empty) = open(&sim).unwrap();
        assert_eq!(empty, Saved::default());
        slots.write(&saved(2)).unwrap();
        assert_eq!(found(&sim), 2);
    }
}
