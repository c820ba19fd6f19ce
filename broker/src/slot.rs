//! A range of ports and a folder, ours while this process lives.
//!
//! A broker that is killed must find its ports free when it comes back, so they lie
//! below those that the system gives to outgoing connections, and a lock on a file
//! keeps other test processes off them. The system drops the lock with its owner,
//! so what a killed test left is removed by the next that takes its slot.

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::{Error, Result};

const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 10;
const SLOTS: u16 = 1_000;

/// Where this process looks next: one that ended here may have clients that still
/// try its ports.
static NEXT: AtomicU16 = AtomicU16::new(0);

pub(crate) struct Slot {
    folder: PathBuf,
    first_port: u16,
    /// Holds the lock.
    _lock: File,
}

impl Slot {
    /// The next slot that nobody holds, empty.
    pub(crate) fn take() -> Result<Self> {
        let parent = std::env::temp_dir().join("hook-broker");
        std::fs::create_dir_all(&parent).map_err(|source| Error::File { path: parent.clone(), source })?;
        let first = NEXT.load(Ordering::Relaxed);
        (first..SLOTS)
            .chain(0..first)
            .find_map(|number| Self::try_take(&parent, number))
            .ok_or(Error::NoPorts { first: FIRST_PORT, last: FIRST_PORT + SLOTS * PORTS - 1 })
    }

    fn try_take(parent: &Path, number: u16) -> Option<Self> {
        let lock = File::create(parent.join(format!("{number}.lock"))).ok()?;
        lock.try_lock().ok()?;
        let first_port = FIRST_PORT + number * PORTS;
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if !(first_port..first_port + PORTS).all(free) {
            return None;
        }
        let folder = parent.join(number.to_string());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).ok()?;
        }
        std::fs::create_dir(&folder).ok()?;
        NEXT.store((number + 1) % SLOTS, Ordering::Relaxed);
        Some(Self { folder, first_port, _lock: lock })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of its ports, counted from zero.
    pub(crate) fn port(&self, index: usize) -> u16 {
        self.first_port + u16::try_from(index).unwrap_or(PORTS) % PORTS
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What cannot be removed now goes when the slot is taken again.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot that no broker comes to, and its number. The ports are those of all folders,
    /// so each test looks among others: the even numbers, or the odd ones.
    fn far_away(parent: &Path, rest: u16) -> (Slot, u16) {
        let slots = (0..SLOTS).rev().filter(|number| number % 2 == rest);
        slots.filter_map(|number| Some((Slot::try_take(parent, number)?, number))).next().unwrap()
    }

    fn parent(name: &str) -> PathBuf {
        let parent = std::env::temp_dir().join(format!("hook-broker-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&parent).unwrap();
        parent
    }

    #[test]
    fn a_slot_is_held_by_one_at_a_time_and_begins_empty() {
        let parent = parent("held");
        let (slot, number) = far_away(&parent, 0);
        let folder = slot.folder().to_owned();
        assert_eq!(slot.port(9), slot.port(0) + 9);
        assert!(Slot::try_take(&parent, number).is_none());
        drop(slot);
        assert!(!folder.exists());

        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("left"), "by a killed test").unwrap();
        let again = Slot::try_take(&parent, number).unwrap();
        assert!(!again.folder().join("left").exists());
        std::fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_port_in_use_by_others_is_left_alone() {
        let parent = parent("others");
        let (slot, number) = far_away(&parent, 1);
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, slot.port(3))).unwrap();
        drop(slot);
        assert!(Slot::try_take(&parent, number).is_none());
        drop(stranger);
        std::fs::remove_dir_all(parent).unwrap();
    }
}
