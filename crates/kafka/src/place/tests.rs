//! What is given out, handed over and committed, turn by turn.

use bytes::Bytes;
use hook_log::Topic;

use super::*;

fn lane(number: u32) -> LaneKey {
    (Topic::new("t").unwrap(), number)
}

fn at(number: u32, offset: u64) -> Position {
    Position { topic: Topic::new("t").unwrap(), lane: number, offset }
}

fn entry(number: u32, offset: u64) -> Entry {
    Entry { position: at(number, offset), appended_ms: 0, key: Bytes::new(), value: Bytes::from_static(b"v") }
}

/// A place that holds lanes 0 and 1 and gave out offsets 5 and 6 of each.
fn place() -> Place {
    let mut place = Place::default();
    place.got([lane(0), lane(1)]);
    for (number, offset) in [(0, 5), (1, 5), (0, 6), (1, 6)] {
        place.admit(entry(number, offset));
    }
    assert_eq!(offsets(place.step(9)), [(0, 5), (1, 5), (0, 6), (1, 6)]);
    place
}

fn offsets(step: Option<Step>) -> Vec<(u32, u64)> {
    match step {
        Some(Step::Entries(entries)) => {
            entries.iter().map(|entry| (entry.position.lane, entry.position.offset)).collect()
        }
        Some(Step::Revoked(_) | Step::Failed(_)) => panic!("no records"),
        None => Vec::new(),
    }
}

fn revoked(step: Option<Step>) -> Vec<LaneKey> {
    match step {
        Some(Step::Revoked(lanes)) => lanes,
        _ => panic!("nothing was revoked"),
    }
}

#[test]
fn commits_only_go_forward() {
    let mut place = place();
    assert!(place.take_due().is_empty());
    place.settle(&at(0, 6));
    place.settle(&at(0, 5));
    assert_eq!(place.take_due(), HashMap::from([(lane(0), 7)]));
    place.settle(&at(0, 6));
    place.settle(&at(1, 4));
    assert!(place.take_due().is_empty(), "one went back, or was never given out");
    place.settle(&at(1, 5));
    assert_eq!(place.take_due(), HashMap::from([(lane(1), 6)]));
}

#[test]
fn a_lane_goes_when_its_reader_has_finished() {
    let mut place = place();
    place.admit(entry(0, 7));
    place.admit(entry(1, 7));
    assert!(place.leave(&[lane(0)]), "it has records of it");
    assert_eq!(revoked(place.step(9)), [lane(0)]);
    assert!(!place.is_handed_over(), "before it asked again");
    place.settle(&at(0, 6));
    assert_eq!(offsets(place.step(9)), [(1, 7)], "records of a lane that goes");
    assert!(place.is_handed_over());
    assert_eq!(place.left(&[lane(0)]), HashMap::from([(lane(0), 7)]));
    place.settle(&at(0, 6));
    place.settle(&at(1, 7));
    assert_eq!(place.take_due(), HashMap::from([(lane(1), 8)]), "a commit of a lane that went");
}

#[test]
fn a_reader_that_has_nothing_is_not_asked() {
    let mut place = Place::default();
    place.got([lane(0)]);
    place.admit(entry(0, 1));
    assert!(!place.leave(&[lane(0)]));
    assert!(place.is_handed_over());
    assert!(place.left(&[lane(0)]).is_empty());
    assert!(place.step(1).is_none(), "a record of a lane that went");
}

#[test]
fn a_lane_that_comes_back_begins_anew() {
    let mut place = place();
    place.leave(&[lane(0)]);
    // The reader was too slow.
    assert!(place.left(&[lane(0)]).is_empty());
    place.got([lane(0)]);
    place.settle(&at(0, 6));
    assert!(place.take_due().is_empty(), "settled in an earlier turn");
    place.admit(entry(0, 8));
    assert_eq!(revoked(place.step(9)), [lane(0)], "it was never told");
    assert_eq!(offsets(place.step(9)), [(0, 8)]);
    place.settle(&at(0, 6));
    assert!(place.take_due().is_empty(), "settled in an earlier turn");
    place.settle(&at(0, 8));
    assert_eq!(place.take_due(), HashMap::from([(lane(0), 9)]));
}

#[test]
fn a_second_handover_waits_for_its_own_answer() {
    let mut place = place();
    place.leave(&[lane(0)]);
    assert_eq!(revoked(place.step(1)), [lane(0)]);
    place.left(&[lane(0)]);
    assert!(place.leave(&[lane(1)]));
    assert_eq!(revoked(place.step(1)), [lane(1)], "the first answer counted for the second");
    assert!(!place.is_handed_over());
    assert!(place.step(1).is_none());
    assert!(place.is_handed_over());
}

#[test]
fn a_lane_takes_along_how_far_it_was_settled() {
    let mut place = place();
    place.settle(&at(0, 5));
    place.take_due();
    assert_eq!(place.left(&[lane(0), lane(1)]), HashMap::from([(lane(0), 6)]));
    place.got([lane(0)]);
    assert!(place.left(&[lane(0)]).is_empty(), "settled in an earlier turn");
}

#[test]
fn closing_waits_for_nobody_and_a_forgotten_group_keeps_nothing() {
    let mut place = place();
    place.closing = true;
    assert!(!place.leave(&[lane(0)]));
    let mut place = self::place();
    place.settle(&at(0, 5));
    place.forget();
    place.settle(&at(1, 5));
    assert!(place.take_due().is_empty());
    assert!(place.left(&[lane(0), lane(1)]).is_empty());
}

#[test]
fn fetching_pauses_while_the_reader_is_behind() {
    let mut place = Place::default();
    place.got([lane(0)]);
    (0..MOST_READY as u64).for_each(|offset| place.admit(entry(0, offset)));
    assert!(place.is_full() && !place.has_room());
    place.step(MOST_READY / 2);
    assert!(!place.is_full() && place.has_room());
}

#[test]
fn only_what_was_given_out_in_this_turn_is_held() {
    let mut place = place();
    let held = |place: &Place, positions: &[(u32, u64)]| {
        let positions: Vec<_> = positions.iter().map(|(number, offset)| at(*number, *offset)).collect();
        place.holds(&positions)
    };
    assert!(held(&place, &[(0, 6), (1, 5)]));
    assert!(!held(&place, &[(0, 6), (2, 0)]), "a lane that it never had");
    place.leave(&[lane(0)]);
    assert!(held(&place, &[(0, 6)]), "while it is handed over, what was begun may be finished");
    place.left(&[lane(0)]);
    assert!(!held(&place, &[(0, 6), (1, 6)]), "the lane went");
    place.got([lane(0)]);
    assert!(!held(&place, &[(0, 6)]), "and came back, but nothing was given out since");
    place.admit(entry(0, 7));
    while place.step(9).is_some() {}
    assert!(held(&place, &[(0, 7)]) && !held(&place, &[(0, 6)]), "only what came since");
}
