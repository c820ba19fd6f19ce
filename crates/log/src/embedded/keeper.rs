//! The keeper: the second thread, for everything that need not be done before an
//! answer. It reserves space ahead of the writer, finishes full segments, saves
//! cursors and applies retention.
//!
//! The rule: nothing waits for it except the first subscription of a group, whose
//! beginning must outlive a crash.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    cursors::Slots,
    disk::{DiskFile, Mode},
    retention,
    segment::Segment,
    shared::Shared,
    tail::{Spare, allocate},
    writer::Command,
};
use crate::port::Topic;

/// How long commits of cursors may wait to outlive the process.
const SAVE_EVERY: Duration = Duration::from_millis(50);
/// How long they may wait to outlive the machine.
const SYNC_EVERY: Duration = Duration::from_secs(1);
const RETAIN_EVERY: Duration = Duration::from_secs(10);

/// What the keeper is asked to do.
pub(crate) enum Job {
    /// Reserve a file up to `to`, and say so.
    Reserve { file: Arc<dyn DiskFile>, reserved: Arc<AtomicU64>, to: u64 },
    /// Make a file ready for a lane's next segment.
    Spare { dir: PathBuf, slot: Arc<Mutex<Option<Spare>>> },
    /// Give back what a full segment does not need, and store its index.
    Seal { segment: Arc<Segment>, file: Arc<dyn DiskFile>, len: u64 },
    /// Save the cursors soon.
    Dirty,
    /// Save the cursors now, durably.
    Save(oneshot::Sender<io::Result<()>>),
    /// Apply retention now.
    Retain(oneshot::Sender<()>),
    /// Save the cursors and stop.
    Stop,
}

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    slots: Slots,
    writer: tokio::sync::mpsc::UnboundedSender<Command>,
    save_at: Option<Instant>,
    sync_at: Option<Instant>,
    retain_at: Instant,
    /// Counts the files made ready, to name them.
    spares: u64,
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        slots: Slots,
        writer: tokio::sync::mpsc::UnboundedSender<Command>,
    ) -> Self {
        // The first pass comes at once: the log may have been closed for long.
        Self { shared, slots, writer, save_at: None, sync_at: None, retain_at: Instant::now(), spares: 0 }
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            match jobs.recv_timeout(self.next_due()) {
                Ok(Job::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Ok(job) => self.work(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            self.do_what_is_due();
        }
        report("save cursors", self.save_durably());
    }

    fn next_due(&self) -> Duration {
        let due = [Some(self.retain_at), self.save_at, self.sync_at];
        let first = due.into_iter().flatten().min().unwrap_or(self.retain_at);
        first.saturating_duration_since(Instant::now())
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if self.save_at.is_some_and(|at| at <= now) {
            self.save_at = None;
            let saved = self.save();
            report("save cursors", saved);
            self.sync_at.get_or_insert(now + SYNC_EVERY);
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync_at = None;
            let synced = self.sync();
            report("sync cursors", synced);
        }
        if self.retain_at <= now {
            self.retain();
            self.retain_at = Instant::now() + RETAIN_EVERY;
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Reserve { file, reserved, to } => {
                report("reserve space", self.reserve(&*file, &reserved, to))
            }
            Job::Spare { dir, slot } => report("make a segment ready", self.make_spare(&dir, &slot)),
            Job::Seal { segment, file, len } => {
                report("trim a segment", file.set_len(len));
                segment.save_index(&*self.shared.disk);
            }
            Job::Dirty => self.save_at = Some(Instant::now() + SAVE_EVERY),
            Job::Save(done) => {
                let _ = done.send(self.save_durably());
            }
            Job::Retain(done) => {
                self.retain();
                let _ = done.send(());
            }
            Job::Stop => {}
        }
    }

    fn save(&mut self) -> io::Result<()> {
        let saved = self.slots.write(&self.shared.saved());
        saved.inspect_err(|_| self.save_again())
    }

    fn sync(&mut self) -> io::Result<()> {
        let synced = self.slots.sync();
        synced.inspect_err(|_| self.save_again())
    }

    /// Cursors that did not reach the disk are written anew, not synced again.
    fn save_again(&mut self) {
        self.save_at.get_or_insert(Instant::now() + SYNC_EVERY);
    }

    fn save_durably(&mut self) -> io::Result<()> {
        (self.save_at, self.sync_at) = (None, None);
        self.save()?;
        self.sync()
    }

    fn reserve(&self, file: &dyn DiskFile, reserved: &AtomicU64, to: u64) -> io::Result<()> {
        let from = reserved.load(Ordering::Acquire);
        if from >= to || !self.can_spare(to - from)? {
            return Ok(());
        }
        allocate(file, from, to)?;
        reserved.fetch_max(to, Ordering::AcqRel);
        Ok(())
    }

    fn make_spare(&mut self, dir: &Path, slot: &Mutex<Option<Spare>>) -> io::Result<()> {
        let size = self.shared.options.segment_bytes;
        let has_one = slot.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if has_one || !self.can_spare(size)? {
            return Ok(());
        }
        // INVARIANT: a name of its own, or this could open the file that the writer
        // is just renaming.
        self.spares += 1;
        let path = dir.join(format!("{}.tmp", self.spares));
        let file = self.shared.disk.open(&path, Mode::Create)?;
        allocate(&*file, 0, size)?;
        file.sync_data()?;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Spare { file, path, size });
        Ok(())
    }

    /// Whether so much can be reserved without what must stay free.
    fn can_spare(&self, bytes: u64) -> io::Result<bool> {
        let options = &self.shared.options;
        Ok(self.shared.disk.free_bytes(&options.dir)? >= options.min_free_bytes.saturating_add(bytes))
    }

    fn retain(&mut self) {
        for lane in self.shared.lanes() {
            let applied = retention::apply(&self.shared, &lane, || self.roll(&lane.topic));
            report("apply retention", applied);
        }
    }

    /// Has the writer begin a new segment.
    fn roll(&self, topic: &Topic) {
        let (done, rolled) = oneshot::channel();
        if self.writer.send(Command::Roll(topic.clone(), done)).is_ok() {
            let _ = rolled.blocking_recv();
        }
    }
}

/// Nothing here is lost when it fails: it is tried again, or done by the writer.
fn report(what: &str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "could not {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        embedded::{cursors::Saved, disk::Disk, options::Options},
        sim::SimDisk,
    };

    fn keeper(disk: &Arc<dyn Disk>) -> Keeper {
        let options = Options::new("/log", Arc::new(|| 0));
        disk.create_dir(&options.dir).unwrap();
        let slots = Slots::open(&**disk, &options.dir).unwrap().0;
        let shared = Shared::new(options, Arc::clone(disk), Saved::default(), mpsc::channel().0);
        Keeper::new(Arc::new(shared), slots, tokio::sync::mpsc::unbounded_channel().0)
    }

    #[test]
    fn cursors_that_could_not_be_saved_are_saved_again() {
        let sim = SimDisk::new(0);
        let disk = sim.process();
        let mut keeper = keeper(&disk);
        keeper.save_durably().unwrap();
        assert_eq!(keeper.save_at, None);
        sim.fail_syncs(1);
        keeper.save_durably().unwrap_err();
        assert!(keeper.save_at.is_some(), "after a failed sync");
        sim.kill();
        keeper.save_at = Some(Instant::now());
        keeper.do_what_is_due();
        assert!(keeper.save_at.is_some(), "after a failed write");
    }
}
