//! What the simulated disk holds, what of it is durable, and what a crash takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What a crash keeps or loses as one.
const SECTOR: usize = 512;

pub(super) struct State {
    pub(super) random: u64,
    /// Counts restarts; files opened before the last one are dead.
    pub(super) boot: u64,
    pub(super) files: BTreeMap<u64, Inode>,
    pub(super) next_file: u64,
    pub(super) names: Names,
    pub(super) durable_names: Names,
    pub(super) pending_names: Vec<NameOp>,
    pub(super) locks: BTreeMap<PathBuf, String>,
    pub(super) capacity: u64,
    pub(super) reserves: bool,
    pub(super) failing_syncs: u32,
    pub(super) failing_removes: u32,
}

#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) files: BTreeMap<PathBuf, u64>,
    pub(super) dirs: BTreeSet<PathBuf>,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) shown: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<FileOp>,
}

#[derive(Clone)]
pub(super) enum FileOp {
    Write(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone)]
pub(super) enum NameOp {
    Dir(PathBuf),
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// How much of what was not synced a crash keeps.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    Nothing,
    Everything,
    First(usize),
    Some,
}

impl State {
    /// The next number of a small generator (splitmix64).
    pub(super) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next_random() % limit.max(1) as u64).unwrap_or(0)
    }

    pub(super) fn keep(&mut self, pending: usize) -> Keep {
        match self.below(4) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            2 => Keep::First(self.below(pending + 1)),
            _ => Keep::Some,
        }
    }

    pub(super) fn file_at(&mut self, path: &Path) -> Option<&mut Inode> {
        let id = self.names.files.get(path)?;
        self.files.get_mut(id)
    }

    pub(super) fn used(&self) -> u64 {
        self.names.files.values().map(|id| self.files[id].shown.len() as u64).sum()
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    pub(super) fn reboot(&mut self) {
        self.boot += 1;
        self.locks.clear();
        (self.failing_syncs, self.failing_removes) = (0, 0);
    }

    pub(super) fn crash(&mut self) {
        self.reboot();
        for id in self.files.keys().copied().collect::<Vec<_>>() {
            self.lose(id);
            if let Some(file) = self.files.get_mut(&id) {
                file.shown = file.durable.clone();
            }
        }
        let pending = std::mem::take(&mut self.pending_names);
        let keep = self.keep(pending.len());
        for (number, op) in pending.into_iter().enumerate() {
            if self.is_kept(keep, number) {
                self.durable_names.apply(&op);
            }
        }
        self.durable_names.drop_orphans();
        self.names = self.durable_names.clone();
    }

    pub(super) fn is_kept(&mut self, keep: Keep, number: usize) -> bool {
        match keep {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::First(count) => number < count,
            Keep::Some => self.below(2) == 0,
        }
    }

    /// Makes some of a file's pending writes durable and forgets the others.
    pub(super) fn lose(&mut self, id: u64) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let (mut durable, pending) = (std::mem::take(&mut file.durable), std::mem::take(&mut file.pending));
        let keep = self.keep(pending.len());
        for (number, op) in pending.iter().enumerate() {
            match op {
                FileOp::Write(at, bytes) if matches!(keep, Keep::Some) => {
                    for (sector, at) in sectors(*at, bytes) {
                        if self.below(2) == 0 {
                            write(&mut durable, sector, at);
                        }
                    }
                }
                op if self.is_kept(keep, number) => op.apply(&mut durable),
                _ => {}
            }
        }
        if let Some(file) = self.files.get_mut(&id) {
            file.durable = durable;
        }
    }

    /// Whether this sync is one that fails.
    pub(super) fn sync_fails(&mut self) -> bool {
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        fails
    }
}

/// A write, cut where sectors begin.
fn sectors(at: u64, bytes: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    let offset = usize::try_from(at).unwrap_or(usize::MAX);
    let first = (SECTOR - offset % SECTOR).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR).enumerate();
    let rest = rest.map(move |(number, sector)| (sector, at + (first + number * SECTOR) as u64));
    [(head, at)].into_iter().chain(rest)
}

fn write(bytes: &mut Vec<u8>, new: &[u8], at: u64) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl FileOp {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => write(bytes, new, *at),
            Self::Len(len) => bytes.resize(usize::try_from(*len).unwrap_or(usize::MAX), 0),
        }
    }
}

impl NameOp {
    pub(super) fn dir(&self) -> &Path {
        let (Self::Dir(path) | Self::Create(path, _) | Self::Rename(_, path) | Self::Remove(path)) = self;
        path.parent().unwrap_or(path)
    }
}

impl Names {
    pub(super) fn apply(&mut self, op: &NameOp) {
        match op {
            NameOp::Dir(path) => drop(self.dirs.insert(path.clone())),
            NameOp::Create(path, id) => drop(self.files.insert(path.clone(), *id)),
            NameOp::Remove(path) => drop(self.files.remove(path)),
            NameOp::Rename(from, to) => {
                if let Some(id) = self.files.remove(from) {
                    self.files.insert(to.clone(), id);
                }
            }
        }
    }

    /// Files go with a directory that was lost.
    pub(super) fn drop_orphans(&mut self) {
        let dirs = &self.dirs;
        self.files.retain(|path, _| path.parent().is_none_or(|parent| dirs.contains(parent)));
    }
}

impl State {
    pub(super) fn change_names(&mut self, op: NameOp) {
        self.names.apply(&op);
        self.pending_names.push(op);
    }
}
