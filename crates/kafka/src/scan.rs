//! Reading without a group: one record, or a walk from a start to where the topic ends now.
//!
//! An end is an offset, and the record before it need not exist: it may be a
//! transaction's mark, belong to one that was aborted, or be compacted away. So a lane
//! has ended when a record at or past its end was seen, or when the broker says that
//! nothing more is there.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_log::{Entry, Position, ReadError, Scan, Start, Topic};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};

use crate::{
    cluster::{Cluster, LaneKey, blocking},
    failure,
    health::Context,
};

/// Clients kept for the next reader.
const MOST_IDLE: usize = 4;
/// How long a poll waits.
const POLL: Duration = Duration::from_millis(100);
/// A walk that sees nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(15);
/// Never committed to: a client must name a group before it may read at all.
const GROUP: &str = "hook.reader";

/// Clients that read what they are told to.
pub(crate) struct Readers {
    cluster: Arc<Cluster>,
    idle: Mutex<Vec<BaseConsumer<Context>>>,
}

/// A client on loan; it goes back when dropped.
struct Reader {
    readers: Arc<Readers>,
    client: Option<BaseConsumer<Context>>,
    /// Lanes that ended before others did.
    paused: TopicPartitionList,
}

impl Readers {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, idle: Mutex::default() }
    }

    /// Begins a walk. Blocks.
    pub(crate) fn walk(self: &Arc<Self>, topic: &Topic, start: Start) -> Result<Walk, ReadError> {
        let lanes = self.cluster.lanes(topic)?;
        let lanes = || (0..lanes).map(|lane| (topic.clone(), lane));
        let ends = self.cluster.offsets(lanes(), Offset::End)?;
        let starts = starts(&self.cluster, lanes().collect(), &ends, start)?;
        self.walk_between(topic, starts, ends)
    }

    /// Begins a walk from one offset per lane; lanes that are not named are left out. Blocks.
    pub(crate) fn walk_lanes(
        self: &Arc<Self>,
        topic: &Topic,
        from: &[(u32, u64)],
    ) -> Result<Walk, ReadError> {
        self.cluster.lanes(topic)?;
        let starts: HashMap<LaneKey, u64> =
            from.iter().map(|(lane, at)| ((topic.clone(), *lane), *at)).collect();
        let ends = self.cluster.offsets(starts.keys().cloned(), Offset::End)?;
        self.walk_between(topic, starts, ends)
    }

    fn walk_between(
        self: &Arc<Self>,
        topic: &Topic,
        starts: HashMap<LaneKey, u64>,
        ends: HashMap<LaneKey, u64>,
    ) -> Result<Walk, ReadError> {
        let mut walk =
            Walk { topic: topic.clone(), reader: None, ends: HashMap::new(), found: VecDeque::new() };
        let mut assigned = TopicPartitionList::new();
        for (key, start) in starts {
            let end = ends.get(&key).copied().unwrap_or(0);
            if start < end {
                add(&mut assigned, &key, start).map_err(|error| failure::read(&error))?;
                walk.ends.insert(key.1, end);
            }
        }
        if !walk.ends.is_empty() {
            walk.reader = Some(self.reader(&assigned).map_err(|error| failure::read(&error))?);
        }
        Ok(walk)
    }

    /// The record at a position. Blocks.
    pub(crate) fn read(self: &Arc<Self>, position: &Position) -> Result<Option<Entry>, ReadError> {
        if position.lane >= self.cluster.lanes(&position.topic)? {
            return Ok(None);
        }
        let mut assigned = TopicPartitionList::new();
        let key = (position.topic.clone(), position.lane);
        add(&mut assigned, &key, position.offset).map_err(|error| failure::read(&error))?;
        let reader = self.reader(&assigned).map_err(|error| failure::read(&error))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match reader.poll(POLL) {
                Some(Ok(message)) => {
                    let found = entry(&message, &position.topic);
                    return Ok(found.filter(|entry| entry.position == *position));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) if !failure::is_transport(&error) => return Err(failure::read(&error)),
                Some(Err(_)) | None if Instant::now() < until => {}
                Some(Err(_)) | None => return Err(self.nothing_came()),
            }
        }
    }

    fn nothing_came(&self) -> ReadError {
        ReadError::Unavailable(self.cluster.health.reason("no broker answered in time"))
    }

    fn reader(self: &Arc<Self>, assigned: &TopicPartitionList) -> KafkaResult<Reader> {
        let idle = self.idle().pop();
        let client = match idle {
            Some(client) => client,
            None => self.client()?,
        };
        client.assign(assigned)?;
        Ok(Reader { readers: Arc::clone(self), client: Some(client), paused: TopicPartitionList::new() })
    }

    fn client(&self) -> KafkaResult<BaseConsumer<Context>> {
        let mut config = self.cluster.settings.client_config();
        config.set("group.id", GROUP);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        config.set("isolation.level", "read_committed");
        config.set("allow.auto.create.topics", "false");
        config.set("queued.max.messages.kbytes", "16384");
        config.create_with_context(Context(Arc::clone(&self.cluster.health)))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<BaseConsumer<Context>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of every idle client.
    pub(crate) fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }
}

impl Reader {
    fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.client.as_ref()?.poll(wait)
    }

    /// Nothing more of a lane that has ended.
    fn pause(&mut self, topic: &Topic, lane: u32) {
        self.paused.add_partition(topic.as_str(), i32::try_from(lane).unwrap_or(i32::MAX));
        // What still comes of it is passed over.
        let _ = self.client.as_ref().map(|client| client.pause(&self.paused));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        // A pause outlives an assignment.
        let resumed = self.paused.count() == 0 || client.resume(&self.paused).is_ok();
        if resumed && client.unassign().is_ok() && self.readers.idle().len() < MOST_IDLE {
            while client.poll(Duration::ZERO).is_some() {}
            self.readers.idle().push(client);
        }
    }
}

/// Where each lane begins that is read from `start`, given where each ends. Blocks.
pub(crate) fn starts(
    cluster: &Cluster,
    lanes: Vec<LaneKey>,
    ends: &HashMap<LaneKey, u64>,
    start: Start,
) -> Result<HashMap<LaneKey, u64>, ReadError> {
    let place = match start {
        Start::Now => return Ok(ends.clone()),
        Start::Beginning | Start::Offset(_) => Offset::Beginning,
        Start::Time(ms) => Offset::Offset(i64::try_from(ms).unwrap_or(i64::MAX)),
    };
    let found = cluster.offsets(lanes.clone(), place)?;
    let start_of = |key: LaneKey| {
        let end = ends.get(&key).copied().unwrap_or(0);
        // A lane that is not found has nothing at or after the time.
        let found = found.get(&key).copied().unwrap_or(end);
        let at = match start {
            Start::Offset(offset) => offset.max(found),
            Start::Beginning | Start::Now | Start::Time(_) => found,
        };
        (key, at.min(end))
    };
    Ok(lanes.into_iter().map(start_of).collect())
}

pub(crate) fn add(list: &mut TopicPartitionList, (topic, lane): &LaneKey, at: u64) -> KafkaResult<()> {
    let lane = i32::try_from(*lane).unwrap_or(i32::MAX);
    list.add_partition_offset(topic.as_str(), lane, Offset::Offset(i64::try_from(at).unwrap_or(i64::MAX)))
}

/// A record as the port has it.
pub(crate) fn entry(message: &BorrowedMessage<'_>, topic: &Topic) -> Option<Entry> {
    let lane = u32::try_from(message.partition()).ok()?;
    let offset = u64::try_from(message.offset()).ok()?;
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
    Some(Entry {
        position: Position { topic: topic.clone(), lane, offset },
        appended_ms: message.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
        key: bytes(message.key()),
        value: bytes(message.payload()),
    })
}

/// A walk that is under way.
pub(crate) struct Walk {
    topic: Topic,
    reader: Option<Reader>,
    /// The lanes that have not ended, and where each does.
    ends: HashMap<u32, u64>,
    found: VecDeque<Entry>,
}

impl Walk {
    /// Finds up to `most` records, or at least one, unless the walk has ended. Blocks.
    fn fill(&mut self, most: usize) -> Result<(), ReadError> {
        let mut until = Instant::now() + PATIENCE;
        while !self.ends.is_empty() && self.found.len() < most {
            let Some(reader) = &mut self.reader else { break };
            let wait = if self.found.is_empty() { POLL } else { Duration::ZERO };
            let polled = reader.poll(wait).map(|polled| polled.map(|message| entry(&message, &self.topic)));
            match polled {
                Some(Ok(entry)) => {
                    until = Instant::now() + PATIENCE;
                    let ended = entry.and_then(|entry| take(&mut self.ends, &mut self.found, entry));
                    ended.into_iter().for_each(|lane| reader.pause(&self.topic, lane));
                }
                Some(Err(KafkaError::PartitionEOF(lane))) => {
                    self.ends.remove(&u32::try_from(lane).unwrap_or(u32::MAX));
                }
                Some(Err(error)) if !failure::is_transport(&error) => return Err(failure::read(&error)),
                Some(Err(_)) | None if !self.found.is_empty() => break,
                Some(Err(_)) | None if Instant::now() < until => {}
                Some(Err(_)) | None => return Err(reader.readers.nothing_came()),
            }
        }
        if self.ends.is_empty() {
            self.reader = None;
        }
        Ok(())
    }
}

/// Takes in a record that lies before its lane's end; says when that lane has ended with it.
fn take(ends: &mut HashMap<u32, u64>, found: &mut VecDeque<Entry>, entry: Entry) -> Option<u32> {
    let (lane, offset) = (entry.position.lane, entry.position.offset);
    let end = *ends.get(&lane)?;
    if offset < end {
        found.push_back(entry);
    }
    (offset + 1 >= end).then(|| ends.remove(&lane)).map(|_| lane)
}

/// A walk as the port has it.
pub(crate) struct KafkaScan(pub(crate) Arc<Mutex<Walk>>);

impl KafkaScan {
    fn lock(walk: &Mutex<Walk>) -> MutexGuard<'_, Walk> {
        walk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Scan for KafkaScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        let (walk, most) = (Arc::clone(&self.0), max.max(1));
        // What is found stays in the walk until it is taken below, so a caller that
        // gives up meanwhile loses nothing.
        blocking(move || Self::lock(&walk).fill(most)).await?;
        let mut walk = Self::lock(&self.0);
        let count = walk.found.len().min(most);
        Ok(walk.found.drain(..count).collect())
    }
}
