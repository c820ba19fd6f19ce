//! What a member of a group holds, what of it its reader has, and what it settled.
//!
//! The rules that keep anything from being committed early:
//!
//! - A record is given out only while its lane is held; when the lane goes, what waits
//!   of it is dropped.
//! - A commit counts only for a lane that is held (or being handed over), and only for
//!   a record given out since it was got: what was settled in an earlier turn says
//!   nothing about this one.
//! - A commit never goes back.
//!
//! No clock, no thread, no Kafka: the member brings those.

use std::collections::{HashMap, VecDeque};

use hook_log::{Entry, Position, ReadError};

use crate::cluster::LaneKey;

/// Records that wait for the reader, beyond which fetching pauses.
const MOST_READY: usize = 2048;
/// The same in bytes.
const MOST_BYTES: usize = 8 << 20;

/// Everything that a member and its reader share.
#[derive(Default)]
pub(crate) struct Place {
    lanes: HashMap<LaneKey, Held>,
    ready: VecDeque<Entry>,
    bytes: usize,
    /// Lanes that went, of which the reader was not told.
    gone: Vec<LaneKey>,
    handover: Option<Handover>,
    /// What was settled and not passed on yet: the next offset of each lane.
    due: HashMap<LaneKey, u64>,
    failure: Option<ReadError>,
    /// The reader is gone, or the log was closed.
    pub(crate) closing: bool,
    /// The group was forgotten: nothing that it does is kept.
    pub(crate) forgotten: bool,
}

/// A lane that is held.
#[derive(Default)]
struct Held {
    /// The first record given out since the lane was got.
    first: Option<u64>,
    /// The highest next offset that was settled.
    next: u64,
}

/// Lanes that go when the reader has finished with them.
struct Handover {
    told: bool,
    done: bool,
}

/// What the reader gets.
pub(crate) enum Step {
    /// Records.
    Entries(Vec<Entry>),
    /// These lanes go.
    Revoked(Vec<LaneKey>),
    /// It cannot read.
    Failed(ReadError),
}

impl Place {
    /// Takes hold of lanes.
    pub(crate) fn got(&mut self, lanes: impl IntoIterator<Item = LaneKey>) {
        self.lanes.extend(lanes.into_iter().map(|lane| (lane, Held::default())));
    }

    /// A record was read.
    pub(crate) fn admit(&mut self, entry: Entry) {
        if self.lanes.contains_key(&key(&entry.position)) {
            self.bytes += size(&entry);
            self.ready.push_back(entry);
        }
    }

    /// What the reader is to have now, if anything. Asking hands over what it was told of before.
    pub(crate) fn step(&mut self, most: usize) -> Option<Step> {
        if let Some(handover) = self.handover.as_mut().filter(|handover| handover.told) {
            handover.done = true;
        }
        if !self.gone.is_empty() {
            if let Some(handover) = &mut self.handover {
                handover.told = true;
            }
            return Some(Step::Revoked(std::mem::take(&mut self.gone)));
        }
        if let Some(failure) = self.failure.take() {
            return Some(Step::Failed(failure));
        }
        let count = self.ready.len().min(most.max(1));
        let entries: Vec<_> = self.ready.drain(..count).collect();
        for entry in &entries {
            self.bytes -= size(entry);
            if let Some(held) = self.lanes.get_mut(&key(&entry.position)) {
                held.first.get_or_insert(entry.position.offset);
            }
        }
        (!entries.is_empty()).then_some(Step::Entries(entries))
    }

    /// Whether each of these was given out since its lane was got, and may be settled.
    pub(crate) fn holds(&self, positions: &[Position]) -> bool {
        let first = |position: &Position| self.lanes.get(&key(position))?.first;
        positions.iter().all(|position| first(position).is_some_and(|first| first <= position.offset))
    }

    /// Everything in this lane up to and including here is settled.
    pub(crate) fn settle(&mut self, position: &Position) {
        let key = key(position);
        let Some(held) = self.lanes.get_mut(&key) else { return };
        let next = position.offset + 1;
        if held.first.is_some_and(|first| first <= position.offset) && held.next < next {
            held.next = next;
            if !self.forgotten {
                self.due.insert(key, next);
            }
        }
    }

    /// Lanes are to go. Says whether the reader has something of them to finish; if so,
    /// wait until [`Place::is_handed_over`], and in any case call [`Place::left`] then.
    pub(crate) fn leave(&mut self, lanes: &[LaneKey]) -> bool {
        let (lanes_gone, bytes) = (lanes, &mut self.bytes);
        self.ready.retain(|entry| {
            let stays = !lanes_gone.contains(&key(&entry.position));
            *bytes -= if stays { 0 } else { size(entry) };
            stays
        });
        let given = |lane: &&LaneKey| self.lanes.get(lane).is_some_and(|held| held.first.is_some());
        let given: Vec<_> = lanes.iter().filter(given).cloned().collect();
        let waits = !given.is_empty() && !self.closing;
        self.gone.extend(given);
        self.handover = waits.then_some(Handover { told: false, done: false });
        waits
    }

    /// Whether the reader has finished with the lanes that go.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.closing || self.handover.as_ref().is_none_or(|handover| handover.done)
    }

    /// The lanes are held no longer; how far each was settled, if at all.
    pub(crate) fn left(&mut self, lanes: &[LaneKey]) -> HashMap<LaneKey, u64> {
        self.handover = None;
        let mut last = HashMap::new();
        for lane in lanes {
            self.due.remove(lane);
            let held = self.lanes.remove(lane).filter(|held| held.next > 0 && !self.forgotten);
            last.extend(held.map(|held| (lane.clone(), held.next)));
        }
        last
    }

    /// The member begins again and holds nothing.
    pub(crate) fn left_all(&mut self) {
        let all: Vec<_> = self.lanes.keys().cloned().collect();
        self.leave(&all);
        self.left(&all);
    }

    /// What was settled since the last call: the next offset of each lane.
    pub(crate) fn take_due(&mut self) -> HashMap<LaneKey, u64> {
        std::mem::take(&mut self.due)
    }

    /// The group was forgotten.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
        self.due.clear();
    }

    pub(crate) fn fail(&mut self, failure: ReadError) {
        self.failure = Some(failure);
    }

    /// Whether fetching should pause.
    pub(crate) fn is_full(&self) -> bool {
        self.ready.len() >= MOST_READY || self.bytes >= MOST_BYTES
    }

    /// Whether fetching should go on.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() <= MOST_READY / 2 && self.bytes <= MOST_BYTES / 2
    }

    /// The lanes that are held.
    pub(crate) fn held(&self) -> Vec<LaneKey> {
        self.lanes.keys().cloned().collect()
    }
}

fn key(position: &Position) -> LaneKey {
    (position.topic.clone(), position.lane)
}

fn size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len()
}

#[cfg(test)]
mod tests;
