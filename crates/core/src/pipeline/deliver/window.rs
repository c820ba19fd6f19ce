//! The events that were read and are not settled: which may be tried now, which
//! wait for an earlier one of their key, which wait for a time.
//!
//! Events that wait, for whatever, take no slot of those in flight. Fresh events
//! and retries are taken in turn, so neither starves the other. Pure: it is told
//! the time and starts nothing.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
};

use bytes::Bytes;
use tokio::time::Instant;

/// An event's number in the window; later events have larger ones.
pub(super) type Id = u64;

/// Events that were read and are not settled.
pub(super) struct Window<T> {
    slots: HashMap<Id, Slot<T>>,
    /// For each key with an event at work: those that wait for it, oldest first.
    keys: HashMap<Bytes, VecDeque<Id>>,
    fresh: VecDeque<Id>,
    again: VecDeque<Id>,
    timers: BinaryHeap<Reverse<(Instant, Id)>>,
    next: Id,
    bytes: usize,
    parked: usize,
    fresh_turn: bool,
}

struct Slot<T> {
    key: Option<Bytes>,
    bytes: usize,
    place: Place,
    item: T,
}

/// Where an event waits. Queues are cleaned lazily: an entry counts only if the
/// event is still in the place that the queue stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Parked,
    Fresh,
    Again,
    Later,
    Taken,
}

impl<T> Window<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: HashMap::new(),
            keys: HashMap::new(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            timers: BinaryHeap::new(),
            next: 0,
            bytes: 0,
            parked: 0,
            fresh_turn: false,
        }
    }

    /// Takes an event in, behind those of its key.
    pub(super) fn admit(&mut self, key: Option<Bytes>, bytes: usize, item: T) -> Id {
        let id = self.insert(key.clone(), bytes, Place::Fresh, item);
        let Some(key) = key else {
            self.fresh.push_back(id);
            return id;
        };
        if let Some(waiting) = self.keys.get_mut(&key) {
            waiting.push_back(id);
            self.parked += 1;
            self.place(id, Place::Parked);
            return id;
        }
        self.keys.insert(key, VecDeque::new());
        self.fresh.push_back(id);
        id
    }

    /// Takes an event in that nobody will try: it only waits to be settled.
    pub(super) fn admit_taken(&mut self, bytes: usize, item: T) -> Id {
        self.insert(None, bytes, Place::Taken, item)
    }

    /// The next event to try, fresh ones and retries in turn.
    pub(super) fn take(&mut self) -> Option<Id> {
        self.fresh_turn = !self.fresh_turn;
        let id = match self.fresh_turn {
            true => self.take_fresh().or_else(|| self.take_again()),
            false => self.take_again().or_else(|| self.take_fresh()),
        }?;
        self.place(id, Place::Taken);
        Some(id)
    }

    /// The event waits until `at`.
    pub(super) fn later(&mut self, id: Id, at: Instant) {
        self.place(id, Place::Later);
        self.timers.push(Reverse((at, id)));
    }

    /// The event may be tried again as soon as there is room.
    pub(super) fn again(&mut self, id: Id) {
        self.place(id, Place::Again);
        self.again.push_back(id);
    }

    /// Makes ready what has waited long enough.
    pub(super) fn promote(&mut self, now: Instant) {
        while let Some(&Reverse((at, id))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            if self.is_at(id, Place::Later) {
                self.again(id);
            }
        }
    }

    /// When the next event has waited long enough.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// The event is settled: it leaves, and the next of its key may be tried.
    pub(super) fn settle(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.remove(&id)?;
        self.bytes -= slot.bytes;
        if let Some(key) = slot.key {
            self.free(&key);
        }
        Some(slot.item)
    }

    /// Takes out of every queue the waiting events for which `wanted` says yes.
    pub(super) fn take_waiting(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<Id> {
        let waits = |slot: &Slot<T>| matches!(slot.place, Place::Again | Place::Later);
        let found = self.slots.iter().filter(|(_, slot)| waits(slot) && wanted(&slot.item));
        let mut ids: Vec<Id> = found.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.iter().for_each(|id| self.place(*id, Place::Taken));
        ids
    }

    /// Drops the events that nobody is at work on and for which `gone` says yes; what
    /// stays keeps its place.
    pub(super) fn abandon(&mut self, gone: impl Fn(&T) -> bool) {
        let idle = self.slots.iter().filter(|(_, slot)| slot.place != Place::Taken && gone(&slot.item));
        let ids: HashSet<Id> = idle.map(|(id, _)| *id).collect();
        // Those that wait for another first, so that freeing its key wakes none of them.
        for waiting in self.keys.values_mut() {
            let before = waiting.len();
            waiting.retain(|id| !ids.contains(id));
            self.parked -= before - waiting.len();
        }
        self.fresh.retain(|id| !ids.contains(id));
        for id in ids {
            match self.slots.get(&id).map(|slot| slot.place) {
                Some(Place::Parked) => self.drop_parked(id),
                _ => drop(self.settle(id)),
            }
        }
    }

    /// Whether any event is such.
    pub(super) fn any(&self, such: impl Fn(&T) -> bool) -> bool {
        self.slots.values().any(|slot| such(&slot.item))
    }

    pub(super) fn get(&self, id: Id) -> Option<&T> {
        self.slots.get(&id).map(|slot| &slot.item)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.get_mut(&id).map(|slot| &mut slot.item)
    }

    /// Events in the window.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events that wait for an earlier one of their key.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// Events that were never tried and could be.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Whether any event could be tried now.
    pub(super) fn is_ready(&self) -> bool {
        !self.fresh.is_empty() || self.again.iter().any(|id| self.is_at(*id, Place::Again))
    }

    fn insert(&mut self, key: Option<Bytes>, bytes: usize, place: Place, item: T) -> Id {
        let id = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.slots.insert(id, Slot { key, bytes, place, item });
        id
    }

    /// Drops what is left for which `gone` says yes, also what somebody is at work on.
    pub(super) fn cut_off(&mut self, gone: impl Fn(&T) -> bool) {
        let found = self.slots.iter().filter(|(_, slot)| gone(&slot.item));
        let ids: Vec<Id> = found.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| drop(self.settle(id)));
    }

    fn drop_parked(&mut self, id: Id) {
        if let Some(slot) = self.slots.remove(&id) {
            self.bytes -= slot.bytes;
        }
    }

    fn free(&mut self, key: &Bytes) {
        let Some(waiting) = self.keys.get_mut(key) else { return };
        let Some(next) = waiting.pop_front() else {
            self.keys.remove(key);
            return;
        };
        self.parked -= 1;
        self.place(next, Place::Fresh);
        self.fresh.push_back(next);
    }

    fn take_fresh(&mut self) -> Option<Id> {
        self.fresh.pop_front()
    }

    fn take_again(&mut self) -> Option<Id> {
        while let Some(id) = self.again.pop_front() {
            if self.is_at(id, Place::Again) {
                return Some(id);
            }
        }
        None
    }

    fn is_at(&self, id: Id, place: Place) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.place == place)
    }

    fn place(&mut self, id: Id, place: Place) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.place = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    fn all(window: &mut Window<()>) -> Vec<Id> {
        std::iter::from_fn(|| window.take()).collect()
    }

    #[test]
    fn a_key_goes_one_by_one_and_others_pass() {
        let mut window = Window::new();
        for k in ["a", "a", "b", "a"] {
            window.admit(key(k), 1, ());
        }
        assert_eq!(all(&mut window), [0, 2]);
        assert_eq!((window.parked(), window.bytes()), (2, 4));
        window.settle(0);
        assert_eq!(all(&mut window), [1]);
        window.settle(2);
        assert_eq!(all(&mut window), [] as [Id; 0]);
        window.settle(1);
        assert_eq!(all(&mut window), [3]);
        window.settle(3);
        assert_eq!((window.len(), window.bytes(), window.keys.len()), (0, 0, 0));
    }

    #[test]
    fn fresh_events_and_retries_take_turns() {
        let mut window = Window::new();
        for _ in 0..6 {
            window.admit(None, 1, ());
        }
        let failed: Vec<_> = (0..3).filter_map(|_| window.take()).collect();
        failed.into_iter().for_each(|id| window.again(id));
        assert_eq!(all(&mut window), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn abandoned_events_leave_the_others_in_their_places() {
        let mut window = Window::new();
        for (k, item) in [("a", 0), ("a", 1), ("b", 1), ("b", 0), ("a", 0)] {
            window.admit(key(k), 1, item);
        }
        assert_eq!(window.take(), Some(0));
        window.abandon(|item| *item == 1);
        assert!(!window.any(|item| *item == 1));
        assert_eq!((window.len(), window.bytes(), window.parked(), window.fresh()), (3, 3, 1, 1));
        assert_eq!(window.take(), Some(3), "the next of its key is free");
        window.abandon(|item| *item == 0);
        assert_eq!((window.len(), window.parked()), (2, 0), "two are at work");
        window.later(0, Instant::now());
        window.again(3);
        window.abandon(|item| *item == 0);
        assert_eq!((window.len(), window.bytes(), window.keys.len()), (0, 0, 0));
        window.promote(Instant::now());
        assert_eq!(window.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_for_its_time_and_holds_its_key() {
        let mut window = Window::new();
        window.admit(key("a"), 1, ());
        window.admit(key("a"), 1, ());
        let (now, id) = (Instant::now(), window.take().unwrap());
        window.later(id, now + Duration::from_secs(1));
        window.promote(now);
        assert_eq!(window.take(), None);
        window.promote(now + Duration::from_secs(1));
        assert_eq!((window.take(), window.next_timer()), (Some(id), None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_out_of_a_queue_stays_out() {
        let mut window = Window::new();
        for _ in 0..2 {
            window.admit(None, 1, ());
        }
        let ids = all(&mut window);
        window.later(ids[0], Instant::now());
        window.again(ids[1]);
        assert_eq!(window.take_waiting(|()| true), ids);
        window.promote(Instant::now());
        assert_eq!(window.take(), None);
    }
}
