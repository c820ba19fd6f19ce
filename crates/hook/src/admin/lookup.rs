//! An event by its id: through the ledger's index, or, where the ledger has not read
//! that far, in the log itself.
//!
//! The ledger follows the log a moment behind, and a sender that was just told 202 may
//! ask at once. So "not stored" is said only when neither of the two has the event.

use std::collections::BTreeMap;

use hook_event::{Event, EventId};
use hook_ledger::Ledger;
use hook_log::{Entry, Log, Position, Start, Topic, TopicInfo};

use crate::admin::Refused;

/// Records in one read.
const BATCH: usize = 256;
/// More records than these are not all looked at when the id says since when.
const MANY: u64 = 50_000;
/// By how much the log's clock may be behind the one that made the id, in milliseconds.
const SLACK_MS: u64 = 60_000;

/// The next offset that the ledger has to read, by topic and lane.
type Read = BTreeMap<(Topic, u32), u64>;

/// An event, and where it lies.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) event: Event,
    /// Whether the ledger knows it; if not, it knows nothing of its attempts either.
    pub(super) indexed: bool,
}

/// Finds the event, in the topics that hold events.
pub(super) async fn find(
    log: &dyn Log,
    ledger: &Ledger,
    of_events: impl Fn(&Topic) -> bool,
    id: EventId,
) -> Result<Found, Refused> {
    // Before the index is asked: what the ledger reads meanwhile, the index has.
    let read = ledger.cursors();
    if let Some(row) = ledger.event(id)? {
        let found = log.read(&row.position).await?.and_then(decode);
        let (position, event) = found.ok_or_else(|| {
            Refused::not_found(format!("event {id} is no longer retained; it was at {}", row.position))
        })?;
        return Ok(Found { position, event, indexed: true });
    }
    for info in log.topics().await?.iter().filter(|info| of_events(&info.topic)) {
        if let Some((position, event)) = unread(log, &read, info, id).await? {
            return Ok(Found { position, event, indexed: false });
        }
    }
    Err(Refused::not_found(format!("no event {id} is stored here; if it ever was, it is no longer retained")))
}

pub(super) fn decode(entry: Entry) -> Option<(Position, Event)> {
    let event = Event::decode(&entry.value).ok()?;
    Some((entry.position, event))
}

/// Looks through what the ledger has not read of a topic.
async fn unread(
    log: &dyn Log,
    read: &Read,
    info: &TopicInfo,
    id: EventId,
) -> Result<Option<(Position, Event)>, Refused> {
    let Some(start) = start(read, info, id) else { return Ok(None) };
    let mut scan = log.scan(&info.topic, start).await?;
    loop {
        let batch = scan.next(BATCH).await?;
        if batch.is_empty() {
            return Ok(None);
        }
        let is_new = |entry: &Entry| entry.position.offset >= next(read, &info.topic, entry.position.lane);
        let mut events = batch.into_iter().filter(is_new).filter_map(decode);
        if let Some(found) = events.find(|(_, event)| event.id == id) {
            return Ok(Some(found));
        }
    }
}

/// Where to begin: at what the ledger has to read next, or, if that is long ago, at the
/// time in the id. Nowhere if the ledger has read it all.
fn start(read: &Read, info: &TopicInfo, id: EventId) -> Option<Start> {
    let behind = info.lanes.iter().map(|lane| (lane, next(read, &info.topic, lane.lane).max(lane.first)));
    let behind: Vec<_> = behind.filter(|(lane, next)| *next < lane.next).collect();
    let first = behind.iter().map(|(_, next)| *next).min()?;
    let many = behind.iter().map(|(lane, next)| lane.next - next).sum::<u64>() > MANY;
    // An offset says little where lanes grow apart.
    let time = id.time().filter(|_| many || info.lanes.len() > 1);
    let millis = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    Some(millis.map_or(Start::Offset(first), |millis| Start::Time(millis.saturating_sub(SLACK_MS))))
}

fn next(read: &Read, topic: &Topic, lane: u32) -> u64 {
    read.get(&(topic.clone(), lane)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hook_event::{Clock, Entropy, Meta};
    use hook_log::{Lane, MemoryLog, Record};
    use http::StatusCode;
    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn id(millis: i64) -> EventId {
        EventId::new(Timestamp::from_millisecond(millis).unwrap(), Entropy::SYSTEM)
    }

    async fn store(log: &MemoryLog, name: &str, id: EventId) {
        let event = Event {
            id,
            source: "github".into(),
            event_type: "push".into(),
            received_at: Timestamp::UNIX_EPOCH,
            meta: Meta::default(),
            payload: Bytes::from_static(b"{}"),
        };
        log.append(&topic(name), vec![Record { key: Bytes::new(), value: event.encode() }]).await.unwrap();
    }

    fn ledger(folder: &TempDir) -> Ledger {
        let options = hook_ledger::Options {
            dedup_ttl: std::time::Duration::from_secs(60),
            dead_letters: topic("webhooks.dlq"),
            clock: Clock::SYSTEM,
            own_group: false,
        };
        Ledger::open(folder.path().join("ledger.db"), options).unwrap()
    }

    #[tokio::test]
    async fn an_event_is_found_whether_or_not_the_ledger_has_read_it() {
        let (log, folder) = (MemoryLog::new(), TempDir::new().unwrap());
        let ledger = ledger(&folder);
        let of_events = |topic: &Topic| !topic.as_str().starts_with("hook.");
        let [first, second, timeless, nobody] =
            [id(5_000), id(6_000), EventId::from_bytes([7; 16]), id(7_000)];
        store(&log, "webhooks.core", first).await;
        ledger.catch_up(&log, |_| ()).await.unwrap();
        store(&log, "hook.redeliver.out", second).await;
        store(&log, "webhooks.core", timeless).await;
        store(&log, "webhooks.core", second).await;
        store(&log, "webhooks.other", first).await;
        for read in [false, true] {
            for (id, at, indexed) in [
                (first, "webhooks.core/0/0", true),
                (timeless, "webhooks.core/0/1", read),
                (second, "webhooks.core/0/2", read),
            ] {
                let found = find(&log, &ledger, of_events, id).await.unwrap();
                assert_eq!(found.event.id, id);
                assert_eq!((found.position.to_string().as_str(), found.indexed), (at, indexed));
            }
            let refused = find(&log, &ledger, of_events, nobody).await.unwrap_err();
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.detail);
            ledger.catch_up(&log, |_| ()).await.unwrap();
        }
    }

    #[test]
    fn where_to_begin() {
        let check = |lanes: &[(u64, u64, Option<u64>)], id: EventId, expected: Option<Start>| {
            let lane = |(lane, (first, next, _)): (u32, &(u64, u64, _))| Lane {
                lane,
                first: *first,
                next: *next,
                bytes: 0,
            };
            let info = TopicInfo { topic: topic("t"), lanes: (0..).zip(lanes).map(lane).collect() };
            let read =
                (0..).zip(lanes).filter_map(|(lane, (_, _, read))| Some(((topic("t"), lane), (*read)?)));
            assert_eq!(start(&read.collect(), &info, id), expected, "{lanes:?}");
        };
        let (late, timeless) = (id(1_000_000), EventId::from_bytes([7; 16]));
        check(&[(0, 10, Some(10))], late, None);
        check(&[(0, 10, Some(7))], late, Some(Start::Offset(7)));
        check(&[(4, 10, None)], late, Some(Start::Offset(4)));
        check(&[(0, 100_000, None)], late, Some(Start::Time(940_000)));
        check(&[(0, 100_000, None)], id(1_000), Some(Start::Time(0)));
        check(&[(0, 100_000, None)], timeless, Some(Start::Offset(0)));
        check(&[(0, 9, Some(9)), (0, 3, Some(2))], late, Some(Start::Time(940_000)));
        check(&[(0, 9, Some(9)), (0, 3, Some(2))], timeless, Some(Start::Offset(2)));
        check(&[(0, 9, Some(9)), (0, 3, Some(3))], late, None);
    }
}
