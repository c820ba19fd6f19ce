//! Records that were read and not carried yet, in the order in which they came.

use std::collections::VecDeque;

use hook_log::{Entry, LaneId, Position, Record, Topic, forward::Batch};

/// Records and bytes in one batch. The first record of a batch may be larger.
const MOST_IN_BATCH: usize = 1024;
const MOST_BYTES_IN_BATCH: usize = 4 << 20;

/// Records and bytes held, beyond which nothing is read ahead.
const MOST_HELD: usize = 2 * MOST_IN_BATCH;
const MOST_BYTES_HELD: usize = 8 << 20;

/// Records that were read and not carried.
#[derive(Default)]
pub(super) struct Pending {
    items: VecDeque<Item>,
    bytes: usize,
    /// How many from the front go one by one, because a batch with them was refused.
    alone: usize,
}

/// One of them.
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) outcome: Outcome,
    /// How often the target refused it when it came alone.
    pub(super) tries: u32,
}

/// What is to become of it.
pub(super) enum Outcome {
    /// It goes there.
    Carry(Topic, Record),
    /// It becomes this dead letter.
    Letter(Record),
}

impl Pending {
    pub(super) fn push(&mut self, item: Item) {
        self.bytes += size(&item.entry);
        self.items.push_back(item);
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.items.len() < MOST_HELD && self.bytes < MOST_BYTES_HELD
    }

    /// How many may be read, given that the largest record so far had `largest` bytes.
    pub(super) fn room(largest: usize) -> usize {
        (MOST_BYTES_IN_BATCH / largest.max(1)).clamp(1, MOST_IN_BATCH)
    }

    /// How many records the next batch has.
    pub(super) fn next(&self) -> usize {
        if self.alone > 0 {
            return 1.min(self.items.len());
        }
        let mut bytes = 0;
        let fits = self.items.iter().take(MOST_IN_BATCH).take_while(|item| {
            bytes += size(&item.entry);
            bytes <= MOST_BYTES_IN_BATCH
        });
        fits.count().max(1).min(self.items.len())
    }

    /// The first `count` records as one step.
    pub(super) fn batch(&self, count: usize) -> Batch {
        let mut batch = Batch::default();
        for item in self.items.iter().take(count) {
            match &item.outcome {
                Outcome::Carry(topic, record) => batch.records.push((topic.clone(), record.clone())),
                Outcome::Letter(letter) => batch.letters.push(letter.clone()),
            }
            settle(&mut batch.settled, &item.entry.position);
        }
        batch
    }

    /// The first `count` are settled.
    pub(super) fn carried(&mut self, count: usize) -> impl Iterator<Item = Item> + '_ {
        self.alone = self.alone.saturating_sub(count);
        let count = count.min(self.items.len());
        self.bytes -= self.items.iter().take(count).map(|item| size(&item.entry)).sum::<usize>();
        self.items.drain(..count)
    }

    pub(super) fn front(&mut self) -> Option<&mut Item> {
        self.items.front_mut()
    }

    /// The first `count`, to be changed.
    pub(super) fn first(&mut self, count: usize) -> impl Iterator<Item = &mut Item> {
        self.items.iter_mut().take(count)
    }

    /// Whether those of the first `count` that go anywhere go to one topic.
    pub(super) fn is_for_one_topic(&self, count: usize) -> bool {
        let mut topics = self.items.iter().take(count).filter_map(|item| match &item.outcome {
            Outcome::Carry(topic, _) => Some(topic),
            Outcome::Letter(_) => None,
        });
        let first = topics.next();
        topics.all(|topic| Some(topic) == first)
    }

    /// From now on the first `count` go one by one.
    pub(super) fn go_alone(&mut self, count: usize) {
        self.alone = count;
    }

    /// These lanes are another member's.
    pub(super) fn drop_lanes(&mut self, lanes: &[LaneId]) {
        let goes = |item: &Item| {
            let Position { topic, lane, .. } = &item.entry.position;
            lanes.iter().any(|gone| (&gone.topic, gone.lane) == (topic, *lane))
        };
        let bytes = &mut self.bytes;
        self.items.retain(|item| {
            let stays = !goes(item);
            *bytes -= if stays { 0 } else { size(&item.entry) };
            stays
        });
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// One position for each lane: the last.
fn settle(settled: &mut Vec<Position>, position: &Position) {
    let same = |have: &&mut Position| (&have.topic, have.lane) == (&position.topic, position.lane);
    match settled.iter_mut().rev().find(same) {
        Some(have) => have.offset = position.offset,
        None => settled.push(position.clone()),
    }
}

fn size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len()
}
