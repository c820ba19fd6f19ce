//! How far each group has read, as every log that keeps its own cursors sees it.
//!
//! The rule: a group that is known reads a topic it has no cursor for from the
//! beginning; only a group's very first subscription may decide otherwise. So
//! "from now on" is decided once, and a topic that appears later is read whole.
//! A group that was forgotten stays so, whatever its open subscriptions do.
//! Deliberately absent: where and when this is saved (`embedded/cursors.rs`).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::port::{Position, Topic};

/// Every group's place in every topic.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups(HashMap<String, BTreeMap<Topic, Cursor>>);

/// One group's place in one topic.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The first offset that is not settled.
    pub(crate) next: u64,
    /// Whether the group ever committed here, or only began here.
    pub(crate) committed: bool,
    /// How many unsettled records retention removed.
    #[serde(default)]
    pub(crate) missed: u64,
}

impl Groups {
    /// Whether the group has subscribed before.
    pub(crate) fn knows(&self, group: &str) -> bool {
        self.0.contains_key(group)
    }

    /// Makes the group known, with the places where it begins.
    pub(crate) fn begin(&mut self, group: &str, places: impl IntoIterator<Item = (Topic, u64)>) {
        let cursors = self.0.entry(group.to_owned()).or_default();
        for (topic, next) in places {
            cursors.insert(topic, Cursor { next, ..Cursor::default() });
        }
    }

    /// Makes the group unknown, with all its places.
    pub(crate) fn forget(&mut self, group: &str) {
        self.0.remove(group);
    }

    /// The first offset that the group has not settled; from now on it is known to
    /// read this topic, so what retention takes from it is counted.
    pub(crate) fn enter(&mut self, group: &str, topic: &Topic) -> u64 {
        let Some(cursors) = self.0.get_mut(group) else { return 0 };
        cursors.entry(topic.clone()).or_default().next
    }

    /// Settles everything up to and including `position`; going back is ignored.
    pub(crate) fn commit(&mut self, group: &str, position: &Position) {
        let Some(cursors) = self.0.get_mut(group) else { return };
        let cursor = cursors.entry(position.topic.clone()).or_default();
        cursor.next = cursor.next.max(position.offset.saturating_add(1));
        cursor.committed = true;
    }

    /// The last settled position of every topic in which the group committed.
    pub(crate) fn committed(&self, group: &str) -> Vec<Position> {
        let cursors = self.0.get(group).into_iter().flatten();
        cursors
            .filter(|(_, cursor)| cursor.committed && cursor.next > 0)
            .map(|(topic, cursor)| Position { topic: topic.clone(), lane: 0, offset: cursor.next - 1 })
            .collect()
    }

    /// Takes note that retention removed the records `from..to`; whether that was
    /// before a group had settled them.
    pub(crate) fn miss(&mut self, topic: &Topic, from: u64, to: u64) -> bool {
        let mut any = false;
        for cursor in self.0.values_mut().filter_map(|cursors| cursors.get_mut(topic)) {
            let unsettled = to.saturating_sub(from.max(cursor.next));
            cursor.missed += unsettled;
            any |= unsettled > 0;
        }
        any
    }

    /// Every group, topic and number of records that it missed, sorted.
    pub(crate) fn missed(&self) -> Vec<(String, Topic, u64)> {
        let all = self.0.iter().flat_map(|(group, cursors)| {
            cursors.iter().map(move |(topic, cursor)| (group.clone(), topic.clone(), cursor.missed))
        });
        let mut missed: Vec<_> = all.filter(|(_, _, records)| *records > 0).collect();
        missed.sort();
        missed
    }
}
