//! A disk in memory that forgets, for tests.
//!
//! It keeps what was written apart from what was synced. A crash keeps any part of
//! the unsynced rest: none, all, the first writes, or single sectors of each, and
//! likewise of the names in a directory. A failed sync drops what it could not
//! write and goes on showing it, as Linux does. All by a seed. Deliberately
//! absent: time, and damage to what was synced (see [`SimDisk::flip`]).

mod state;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::state::{FileOp, Inode, NameOp, Names, State};
use crate::embedded::disk::{Disk, DiskFile, Listed, Lock, Mode};

/// A disk that forgets. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk without limit.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: seed,
            boot: 0,
            files: BTreeMap::new(),
            next_file: 0,
            names: Names::default(),
            durable_names: Names::default(),
            pending_names: Vec::new(),
            locks: BTreeMap::new(),
            capacity: u64::MAX,
            reserves: true,
            failing_syncs: 0,
            failing_removes: 0,
        })))
    }

    /// The disk as one process sees it, until the next crash or kill.
    pub fn process(&self) -> Arc<dyn Disk> {
        let boot = self.lock_state().boot;
        Arc::new(Process { disk: self.clone(), boot })
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power and comes back: unsynced writes may be gone.
    pub fn crash(&self) {
        self.lock_state().crash();
    }

    /// The process is killed: what was written stays, open files and locks go.
    pub fn kill(&self) {
        self.lock_state().reboot();
    }

    /// The next `count` syncs fail, and what they should have written is lost.
    pub fn fail_syncs(&self, count: u32) {
        self.lock_state().failing_syncs = count;
    }

    /// The next `count` removals of a file fail, and the file stays.
    pub fn fail_removes(&self, count: u32) {
        self.lock_state().failing_removes = count;
    }

    /// The bytes that fit on the disk, reserved space included.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock_state().capacity = bytes;
    }

    /// The bytes that files take now.
    pub fn used(&self) -> u64 {
        self.lock_state().used()
    }

    /// Whether space can be reserved; where not, files grow as they are written.
    pub fn set_reserves(&self, reserves: bool) {
        self.lock_state().reserves = reserves;
    }

    /// Damages a stored byte for good.
    pub fn flip(&self, path: &Path, byte: u64) {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        let mut state = self.lock_state();
        let Some(file) = state.file_at(path) else { return };
        for bytes in [&mut file.shown, &mut file.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 0x55;
            }
        }
    }

    /// Every file's path and bytes, as a running process sees them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock_state();
        state.names.files.iter().map(|(path, id)| (path.clone(), state.files[id].shown.clone())).collect()
    }

    /// Puts a durable file there, and the directories above it.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock_state();
        let id = state.next_file;
        state.next_file += 1;
        let inode = Inode { shown: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() };
        state.files.insert(id, inode);
        for above in path.ancestors().skip(1).map(Path::to_owned) {
            state.names.dirs.insert(above.clone());
            state.durable_names.dirs.insert(above);
        }
        state.names.files.insert(path.to_owned(), id);
        state.durable_names.files.insert(path.to_owned(), id);
    }
}

/// A process that uses the disk. What it does after its end has no effect.
struct Process {
    disk: SimDisk,
    boot: u64,
}

impl Process {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock_state();
        if state.boot == self.boot { Ok(state) } else { Err(io::Error::other("this process has ended")) }
    }
}

impl Disk for Process {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state()?;
        let id = match state.names.files.get(path) {
            Some(id) => *id,
            None if mode == Mode::Create => {
                let parent = path.parent().unwrap_or(path);
                if !state.names.dirs.contains(parent) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let id = state.next_file;
                state.next_file += 1;
                state.files.insert(id, Inode::default());
                state.change_names(NameOp::Create(path.to_owned(), id));
                id
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let boot = state.boot;
        drop(state);
        Ok(Arc::new(SimFile { disk: self.disk.clone(), id, boot }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let state = self.state()?;
        let name = |path: &Path| {
            let is_here = path.parent() == Some(dir);
            is_here.then(|| path.file_name().map(|name| name.to_string_lossy().into_owned())).flatten()
        };
        let dirs = state.names.dirs.iter().filter_map(|path| name(path));
        let dirs = dirs.map(|name| Listed { name, is_dir: true, bytes: 0 });
        let files = state.names.files.iter().filter_map(|(path, id)| Some((name(path)?, id)));
        let files =
            files.map(|(name, id)| Listed { name, is_dir: false, bytes: state.files[id].shown.len() as u64 });
        Ok(dirs.chain(files).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        let mut above: Vec<_> = dir.ancestors().map(Path::to_owned).collect();
        above.reverse();
        for dir in above {
            if !state.names.dirs.contains(&dir) {
                state.change_names(NameOp::Dir(dir));
            }
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        // A name is not forgotten: file systems keep those in a journal, and stop
        // when that fails.
        if state.sync_fails() {
            return Err(io::Error::other("the directory could not be synced"));
        }
        let pending = std::mem::take(&mut state.pending_names);
        let (here, elsewhere) = pending.into_iter().partition(|op| op.dir() == dir);
        state.pending_names = elsewhere;
        let here: Vec<NameOp> = here;
        here.iter().for_each(|op| state.durable_names.apply(op));
        // The directories above the log's own were there before it.
        let mut above = dir.ancestors().skip(1).map(Path::to_owned).collect();
        state.durable_names.dirs.append(&mut above);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        if !state.names.files.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_names(NameOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state()?;
        if !state.names.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.failing_removes > 0 {
            state.failing_removes -= 1;
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        state.change_names(NameOp::Remove(path.to_owned()));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.state()?.free())
    }

    fn lock(&self, path: &Path, owner: &str) -> io::Result<Lock> {
        let mut state = self.state()?;
        if let Some(owner) = state.locks.get(path) {
            return Ok(Lock::Taken(owner.clone()));
        }
        state.locks.insert(path.to_owned(), owner.to_owned());
        Ok(Lock::Held(Box::new(SimLock { disk: self.disk.clone(), path: path.to_owned(), boot: state.boot })))
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    boot: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock_state();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
    boot: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock_state();
        if state.boot != self.boot {
            return Err(io::Error::other("this process has ended"));
        }
        work(&mut state)
    }

    /// Shows a change at once, and remembers it until the next sync.
    fn change(&self, op: impl FnOnce(&State, u64) -> io::Result<FileOp>) -> io::Result<()> {
        self.with(|state| {
            let op = op(state, state.files[&self.id].shown.len() as u64)?;
            if let Some(file) = state.files.get_mut(&self.id) {
                op.apply(&mut file.shown);
                file.pending.push(op);
            }
            Ok(())
        })
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.with(|state| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let stored = state.files[&self.id].shown.get(at..).unwrap_or_default();
            let read = stored.len().min(bytes.len());
            bytes[..read].copy_from_slice(&stored[..read]);
            Ok(read)
        })
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut fits = 0;
        self.change(|state, size| {
            let inside = size.saturating_sub(at).saturating_add(state.free());
            fits = usize::try_from(inside).unwrap_or(usize::MAX).min(bytes.len());
            let refused = fits == 0 && !bytes.is_empty();
            if refused {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(FileOp::Write(at, bytes[..fits].to_vec()))
            }
        })?;
        Ok(fits)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            if state.sync_fails() {
                state.lose(self.id);
                return Err(io::Error::other("the file could not be synced"));
            }
            if let Some(file) = state.files.get_mut(&self.id) {
                file.pending.drain(..).for_each(|op| op.apply(&mut file.durable));
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|_, _| Ok(FileOp::Len(len)))
    }

    fn allocate(&self, from: u64, len: u64) -> io::Result<()> {
        self.change(|state, size| {
            let end = from.saturating_add(len);
            if !state.reserves {
                return Err(io::ErrorKind::Unsupported.into());
            }
            if end.saturating_sub(size) > state.free() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(FileOp::Len(end.max(size)))
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.files[&self.id].shown.len() as u64))
    }
}
