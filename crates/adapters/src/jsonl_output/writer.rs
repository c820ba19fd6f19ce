//! The one thread that writes a file.
//!
//! INVARIANT: a line that was answered with success lies whole in the file; one
//! that was not, does not, unless the disk refused to take it back. What a crash
//! left half written is closed by a line end before the next line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// A batch is written when nothing more is waiting, or at this size.
const BATCH_BYTES: usize = 4 << 20;

/// A line that somebody waits for.
pub(super) struct Job {
    /// Without its line end.
    pub(super) line: Bytes,
    /// Told when it is written, or why not.
    pub(super) done: oneshot::Sender<Result<(), String>>,
}

/// When the file is put aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// At this size.
    pub(super) bytes: u64,
    /// How many are kept.
    pub(super) keep: u32,
}

/// The file, and how to get it back after a failure.
pub(super) struct Writer {
    path: PathBuf,
    durable: bool,
    rotation: Option<Rotation>,
    open: Option<Open>,
}

struct Open {
    file: File,
    size: u64,
}

/// Writes batches until nobody can send any more.
pub(super) fn run(mut writer: Writer, mut queue: mpsc::Receiver<Job>) {
    while let Some(batch) = next_batch(&mut queue) {
        let mut text = Vec::with_capacity(batch.iter().map(|job| job.line.len() + 1).sum());
        for job in &batch {
            text.extend_from_slice(&job.line);
            text.push(b'\n');
        }
        let result = writer.append(&text).map_err(|error| error.to_string());
        for job in batch {
            // Whoever stopped waiting will deliver again, and find the line twice.
            let _ = job.done.send(result.clone());
        }
    }
}

/// Everything that waits, so that it shares one write and one fsync.
fn next_batch(queue: &mut mpsc::Receiver<Job>) -> Option<Vec<Job>> {
    let first = queue.blocking_recv()?;
    let mut bytes = first.line.len();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES
        && let Ok(job) = queue.try_recv()
    {
        bytes += job.line.len();
        batch.push(job);
    }
    Some(batch)
}

impl Writer {
    /// Opens the file, creating it if need be.
    pub(super) fn open(path: PathBuf, durable: bool, rotation: Option<Rotation>) -> io::Result<Self> {
        let open = Some(open(&path, durable)?);
        Ok(Self { path, durable, rotation, open })
    }

    /// Appends whole lines, all or none.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut current = self.current(lines.len() as u64)?;
        match current.append(lines, self.durable) {
            Ok(()) => {
                self.open = Some(current);
                Ok(())
            }
            Err(error) => {
                // NOTE: after a failed fsync nothing is known of the file's pages; it
                // is closed, and opened anew for the next batch.
                let _ = current.file.set_len(current.size);
                Err(error)
            }
        }
    }

    /// The file to append to: still the one at the path, and with room.
    fn current(&mut self, more: u64) -> io::Result<Open> {
        let mut current = match self.open.take() {
            Some(current) if current.is_at(&self.path) => current,
            _ => open(&self.path, self.durable)?,
        };
        if let Some(rotation) = self.rotation
            && current.size > 0
            && current.size + more > rotation.bytes
        {
            drop(current);
            rotate(&self.path, rotation.keep)?;
            current = open(&self.path, self.durable)?;
        }
        Ok(current)
    }
}

impl Open {
    fn append(&mut self, lines: &[u8], durable: bool) -> io::Result<()> {
        self.file.write_all(lines)?;
        if durable {
            self.file.sync_data()?;
        }
        self.size += lines.len() as u64;
        Ok(())
    }

    /// Whether nobody moved or removed the file meanwhile.
    fn is_at(&self, path: &Path) -> bool {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let here = self.file.metadata().map(identity).ok();
        here.is_some() && here == fs::metadata(path).map(identity).ok()
    }
}

fn open(path: &Path, durable: bool) -> io::Result<Open> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 && last_byte(&mut file)? != b'\n' {
        file.write_all(b"\n")?;
        size += 1;
    }
    if size == 0 && durable {
        sync_parent(path)?;
    }
    Ok(Open { file, size })
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last[0])
}

/// A new file is durable when its directory is.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// `f.2` → `f.3`, `f.1` → `f.2`, `f` → `f.1`; what would be beyond `keep` is gone.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_waits_is_one_batch() {
        let (jobs, mut queue) = mpsc::channel(64);
        for number in 0..50 {
            let (done, _) = oneshot::channel();
            jobs.try_send(Job { line: Bytes::from(format!("{number}")), done }).ok().unwrap();
        }
        let batch = next_batch(&mut queue).unwrap();
        let lines: Vec<String> =
            batch.iter().map(|job| String::from_utf8_lossy(&job.line).into_owned()).collect();
        assert_eq!(lines, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
        drop(jobs);
        assert!(next_batch(&mut queue).is_none());
    }
}
