//! What may be committed: per lane, the gapless prefix of settled events.
//!
//! INVARIANT: a position is offered for commit only when every event of its lane
//! that was read before it is settled.

use std::collections::{HashMap, VecDeque};

use hook_log::{LaneId, Position, Topic};

/// Every lane that was read from.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    by_name: HashMap<(Topic, u32), usize>,
    span: usize,
}

/// One event's place in its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    lane: usize,
    number: u64,
}

struct Lane {
    topic: Topic,
    lane: u32,
    /// The number of the ticket at the front of `marks`.
    first: u64,
    /// Offset and whether it is settled, in the order of reading.
    marks: VecDeque<(u64, bool)>,
    seen: Option<u64>,
    settled: Option<u64>,
    committed: Option<u64>,
}

impl Lanes {
    /// Takes note of an event; none when it is known already, as after a rebalance.
    pub(super) fn admit(&mut self, position: &Position) -> Option<Ticket> {
        let name = (position.topic.clone(), position.lane);
        let index = *self.by_name.entry(name).or_insert(self.lanes.len());
        if index == self.lanes.len() {
            self.lanes.push(Lane::new(position));
        }
        let lane = &mut self.lanes[index];
        if lane.seen.is_some_and(|seen| position.offset <= seen) {
            return None;
        }
        lane.seen = Some(position.offset);
        lane.marks.push_back((position.offset, false));
        self.span += 1;
        Some(Ticket { lane: index, number: lane.first + lane.marks.len() as u64 - 1 })
    }

    /// The event needs nothing more.
    pub(super) fn settle(&mut self, ticket: Ticket) {
        let lane = &mut self.lanes[ticket.lane];
        let Some(index) = ticket.number.checked_sub(lane.first) else { return };
        let Some(mark) = lane.marks.get_mut(usize::try_from(index).unwrap_or(usize::MAX)) else { return };
        mark.1 = true;
        while let Some(&(offset, true)) = lane.marks.front() {
            lane.marks.pop_front();
            lane.first += 1;
            lane.settled = Some(offset);
            self.span -= 1;
        }
    }

    /// What may be committed and is not yet.
    pub(super) fn due(&self) -> Vec<Position> {
        self.lanes.iter().filter(|lane| lane.settled > lane.committed).filter_map(Lane::position).collect()
    }

    /// A commit succeeded.
    pub(super) fn committed(&mut self, position: &Position) {
        let name = (position.topic.clone(), position.lane);
        if let Some(&index) = self.by_name.get(&name) {
            self.lanes[index].committed = Some(position.offset);
        }
    }

    /// The lane is another reader's now. Should it come back, it begins anew; tickets of
    /// before mean nothing then.
    pub(super) fn forget(&mut self, id: &LaneId) {
        let Some(&index) = self.by_name.get(&(id.topic.clone(), id.lane)) else { return };
        let lane = &mut self.lanes[index];
        self.span -= lane.marks.len();
        lane.first += lane.marks.len() as u64;
        lane.marks.clear();
        (lane.seen, lane.settled, lane.committed) = (None, None, None);
    }

    /// How many events lie between what may be committed and what was read last.
    pub(super) fn span(&self) -> usize {
        self.span
    }
}

impl Lane {
    fn new(position: &Position) -> Self {
        Self {
            topic: position.topic.clone(),
            lane: position.lane,
            first: 0,
            marks: VecDeque::new(),
            seen: None,
            settled: None,
            committed: None,
        }
    }

    fn position(&self) -> Option<Position> {
        self.settled.map(|offset| Position { topic: self.topic.clone(), lane: self.lane, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, offset: u64) -> Position {
        Position { topic: Topic::new(topic).unwrap(), lane: 0, offset }
    }

    /// Settles in this order, and checks what may be committed after each.
    fn check(offsets: &[u64], order: &[(usize, Option<u64>)]) {
        let mut lanes = Lanes::default();
        let tickets: Vec<_> = offsets.iter().map(|&o| lanes.admit(&at("t", o)).unwrap()).collect();
        for &(index, expected) in order {
            lanes.settle(tickets[index]);
            let due = lanes.due();
            assert_eq!(due.first().map(|position| position.offset), expected, "{offsets:?} {order:?}");
            due.iter().for_each(|position| lanes.committed(position));
        }
    }

    #[test]
    fn nothing_is_committed_past_a_gap() {
        check(&[0, 1, 2], &[(0, Some(0)), (1, Some(1)), (2, Some(2))]);
        check(&[0, 1, 2], &[(2, None), (1, None), (0, Some(2))]);
        check(&[7, 9, 30], &[(1, None), (0, Some(9)), (2, Some(30))]);
        check(&[5, 6], &[(1, None), (1, None), (0, Some(6))]);
    }

    #[test]
    fn a_lane_that_comes_back_begins_anew() {
        let mut lanes = Lanes::default();
        let [first, second] = [4, 5].map(|offset| lanes.admit(&at("t", offset)).unwrap());
        lanes.settle(first);
        lanes.forget(&at("t", 0).lane_id());
        assert_eq!((lanes.due(), lanes.span()), (vec![], 0));
        let again = lanes.admit(&at("t", 4)).expect("it is read again");
        lanes.settle(second);
        assert_eq!(lanes.due(), [], "a ticket of before settles nothing");
        lanes.settle(again);
        assert_eq!(lanes.due(), [at("t", 4)]);
    }

    #[test]
    fn lanes_do_not_wait_for_each_other() {
        let mut lanes = Lanes::default();
        let (_stuck, other) = (lanes.admit(&at("a", 0)), lanes.admit(&at("b", 0)).unwrap());
        lanes.settle(other);
        assert_eq!(lanes.due(), [at("b", 0)]);
        assert_eq!(lanes.span(), 1);
    }

    #[test]
    fn what_is_read_again_is_known() {
        let mut lanes = Lanes::default();
        assert!(lanes.admit(&at("a", 4)).is_some());
        assert!(lanes.admit(&at("a", 4)).is_none());
        assert!(lanes.admit(&at("a", 3)).is_none());
    }
}
