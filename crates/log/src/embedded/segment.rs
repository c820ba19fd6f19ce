//! A segment: one file of frames, named after its first offset.
//!
//! Only a lane's last segment is written to. A segment comes into being only when
//! all of the one before it is durable, which is why recovery looks at the last
//! alone. What lies behind `len` is no data, whatever the file's size.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    disk::{Disk, DiskFile, Mode, read_small, write_full},
    index::{Index, Mark},
    walk::{Step, Walk},
};

/// No index is larger: one mark per 64 KiB of 4 GiB, and some.
const MAX_INDEX: u64 = 4 << 20;

/// A file of frames.
pub(crate) struct Segment {
    /// The offset of its first record.
    pub(crate) base: u64,
    /// Its file.
    pub(crate) path: PathBuf,
    /// The bytes that may be read: all of them durable.
    len: AtomicU64,
    index: Mutex<Option<Index>>,
}

impl Segment {
    /// A segment whose index is read when it is first wanted.
    pub(crate) fn new(dir: &Path, base: u64, len: u64) -> Self {
        Self { base, path: path(dir, base), len: len.into(), index: Mutex::new(None) }
    }

    /// A segment whose index is known, because it is the one that is written to.
    pub(crate) fn indexed(dir: &Path, base: u64, index: Index) -> Self {
        Self { base, path: path(dir, base), len: index.len.into(), index: Mutex::new(Some(index)) }
    }

    /// The bytes that may be read.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Publishes what became durable.
    pub(crate) fn grow(&self, index: impl FnOnce(&mut Index)) {
        let mut known = self.lock();
        let known = known.get_or_insert_with(|| Index::new(self.base));
        index(known);
        self.len.store(known.len, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the index, which is read or built if need be.
    pub(crate) fn ask<T>(
        &self,
        disk: &dyn Disk,
        file: &Arc<dyn DiskFile>,
        question: impl FnOnce(&Index) -> T,
    ) -> io::Result<T> {
        let mut known = self.lock();
        if known.is_none() {
            *known = Some(match self.stored(disk)? {
                Some(index) => index,
                None => self.build(disk, file)?,
            });
        }
        Ok(question(known.get_or_insert_with(Index::default)))
    }

    /// The stored index, if it can be of this segment.
    fn stored(&self, disk: &dyn Disk) -> io::Result<Option<Index>> {
        let bytes = read_small(disk, &index_path(&self.path), MAX_INDEX)?;
        let index = bytes.and_then(|bytes| Index::decode(&bytes));
        Ok(index.filter(|index| index.len <= self.len() && index.end >= self.base))
    }

    /// Builds the index from the segment, up to the first thing that is no frame.
    fn build(&self, disk: &dyn Disk, file: &Arc<dyn DiskFile>) -> io::Result<Index> {
        let mut index = Index::new(self.base);
        let mut walk = Walk::new(Arc::clone(file), 0, self.len());
        while let Step::Frame { at, header, .. } = walk.step()? {
            index.push(&header, at);
        }
        self.store(disk, &index);
        Ok(index)
    }

    /// Forgets an index that turned out wrong, and builds it again.
    pub(crate) fn rebuild(&self, disk: &dyn Disk, file: &Arc<dyn DiskFile>) -> io::Result<()> {
        let index = self.build(disk, file)?;
        *self.lock() = Some(index);
        Ok(())
    }

    /// Stores the index as it is known, when the segment is full.
    pub(crate) fn save_index(&self, disk: &dyn Disk) {
        if let Some(index) = &*self.lock() {
            self.store(disk, index);
        }
    }

    /// Not synced and not insisted on: an index can be built again.
    fn store(&self, disk: &dyn Disk, index: &Index) {
        let path = index_path(&self.path);
        let stored = disk.open(&path, Mode::Create).and_then(|file| {
            file.set_len(0)?;
            write_full(&*file, &index.encode(), 0)
        });
        if let Err(error) = stored {
            tracing::debug!(path = %path.display(), %error, "an index was not stored");
        }
    }

    /// A mark from which to look for an offset.
    pub(crate) fn before_offset(
        &self,
        disk: &dyn Disk,
        file: &Arc<dyn DiskFile>,
        offset: u64,
    ) -> io::Result<Option<Mark>> {
        self.ask(disk, file, |index| index.before_offset(offset))
    }
}

/// The file of the segment that begins at `base`.
pub(crate) fn path(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.seg"))
}

/// The index that belongs to a segment's file.
pub(crate) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

/// The first offset of the segment with this file name, if it is one.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// Every segment in a topic's directory with the size of its file, in order.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(u64, u64)>> {
    let listed = disk.list(dir)?;
    let mut found: Vec<_> =
        listed.iter().filter_map(|file| Some((base_of(&file.name)?, file.bytes))).collect();
    found.sort_unstable();
    Ok(found)
}
