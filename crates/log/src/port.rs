//! The log's port: what the pipeline may rely on, whichever log is behind it.
//!
//! - **An `append` that returned `Ok` is durable**: it survives a crash of the
//!   process and of the machine. One that returned an error may or may not be
//!   there after a crash; it is never half there.
//! - Records of one lane are read in the order in which they were appended. A
//!   position is never reused, not even after retention or repair.
//! - `commit` means: everything in this lane up to and including here is settled
//!   for this group. After a crash a group may see records again that it had
//!   committed a moment before; it never misses one.
//! - Readers never block the writer, and a slow or absent reader costs disk only.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A durable, ordered store of records under topics.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Stores the records, together or not at all as far as the caller is told,
    /// and returns where each lies once all of them are durable.
    async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, AppendError>;

    /// Joins `group`, which reads the topics of `topics` (also those that appear
    /// later) from its last commit, or from `start` where it never committed.
    ///
    /// A record whose topic is new to a group that has subscribed before is read
    /// from the topic's beginning: nothing is skipped because a topic is young.
    async fn subscribe(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
    ) -> Result<Box<dyn Subscription>, ReadError>;

    /// Reads one topic from `start` up to what is there now, belonging to no group.
    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError>;

    /// Reads these lanes of one topic, each from its offset, up to what is there now.
    /// Records of other lanes, and earlier ones, may come too and are to be passed over.
    async fn scan_lanes(&self, topic: &Topic, from: &[(u32, u64)]) -> Result<Box<dyn Scan>, ReadError> {
        let first = from.iter().map(|(_, offset)| *offset).min();
        self.scan(topic, first.map_or(Start::Now, Start::Offset)).await
    }

    /// Reads the one record at a position; `None` when retention took it.
    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError>;

    /// Every topic with its lanes.
    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError>;

    /// How far a group has committed: per lane, the last settled position.
    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError>;

    /// Removes a group, for those who read once and never come back. Subscriptions
    /// that it still has read on from where they are, but nothing that they do is
    /// kept. Whoever subscribes under its name again is new.
    async fn forget(&self, group: &str) -> Result<(), ReadError>;
}

/// A group's place in its topics.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for what comes next: at least one record and at most `max`, or lanes that
    /// go. Dropping the future loses nothing: it comes with the next call.
    async fn next(&mut self, max: usize) -> Result<Next, ReadError>;

    /// Settles everything in this lane up to and including `position`. In a lane that
    /// went it does nothing.
    async fn commit(&mut self, position: &Position) -> Result<(), ReadError>;
}

/// What comes next in a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// At least one record.
    Entries(Vec<Entry>),
    /// These lanes go to another reader of the group, who waits for them. None of their
    /// records comes any more. Commits in them count until `next` is called again: that
    /// call hands the lanes over. Should they come back, they begin after the last commit.
    Revoked(Vec<LaneId>),
}

/// A bounded walk over one topic.
#[async_trait]
pub trait Scan: Send {
    /// The next records, at most `max`; empty at the end.
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError>;
}

/// A topic's name: 1 to 200 of `a-z A-Z 0-9 . _ -`, not starting with a dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic(Arc<str>);

/// Why a text is no topic.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no topic name: use 1 to 200 of a-z A-Z 0-9 . _ - and no leading dot")]
pub struct TopicError(String);

/// Where a record lies. Lanes are the partitions of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The topic.
    pub topic: Topic,
    /// The lane within the topic.
    pub lane: u32,
    /// The place within the lane, counted from 0 without gaps in the embedded log.
    pub offset: u64,
}

/// Which lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId {
    /// The topic.
    pub topic: Topic,
    /// The lane within the topic.
    pub lane: u32,
}

/// What is appended.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Records with the same key share a lane; may be empty.
    pub key: Bytes,
    /// The bytes to keep.
    pub value: Bytes,
}

/// What is read back.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub position: Position,
    /// When it was appended, in milliseconds since 1970; never decreases in a lane.
    pub appended_ms: u64,
    /// Its key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// The oldest record that is retained.
    Beginning,
    /// After the newest record at the time of the call.
    Now,
    /// The first record appended at or after this time, milliseconds since 1970.
    Time(u64),
    /// This offset in every lane, or the oldest retained if that is later.
    Offset(u64),
}

/// Which topics a group reads.
#[derive(Clone)]
pub struct TopicSet(Arc<dyn Fn(&Topic) -> bool + Send + Sync>);

/// A topic and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicInfo {
    /// The topic.
    pub topic: Topic,
    /// Its lanes.
    pub lanes: Vec<Lane>,
}

/// One lane of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// The lane's number.
    pub lane: u32,
    /// The oldest offset retained.
    pub first: u64,
    /// The offset that the next record will get.
    pub next: u64,
    /// Bytes on disk, where known.
    pub bytes: u64,
}

/// Why a record was not stored. Every variant means: do not say thank you.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The disk, or what the log may use of it, is full. Service returns when
    /// there is space again.
    #[error("the log is full: {0}")]
    Full(String),
    /// One record is larger than the log takes.
    #[error("a record of {size} bytes is larger than the log's limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It will never take one of these records as they are, whoever asks again.
    #[error("the log refuses a record: {0}")]
    Refused(String),
    /// A write or flush failed, so nothing more is acknowledged until a restart.
    #[error("the log stopped after a failed write and must be restarted: {0}")]
    Poisoned(String),
    /// The log cannot be reached now.
    #[error("the log cannot be reached: {reason}")]
    Unavailable {
        /// What is known of the cause.
        reason: String,
        /// When to try again, where known.
        after: Option<Duration>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The topic does not exist.
    #[error("topic `{0}` does not exist")]
    NoTopic(Topic),
    /// A stored record is damaged.
    #[error(
        "{file} is damaged at byte {byte}: {reason}\n  hint: run `hook log verify`, then `hook log repair`"
    )]
    Corrupt {
        /// The file.
        file: String,
        /// The byte offset of the bad record.
        byte: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The log cannot be reached now; try again.
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    /// The operating system refused.
    #[error("cannot read the log: {0}")]
    Io(#[from] std::io::Error),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl Topic {
    /// A topic of this name.
    ///
    /// # Errors
    /// When the name has other characters, is empty or too long.
    pub fn new(name: &str) -> Result<Self, TopicError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(allowed) {
            return Err(TopicError(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Topic {
    type Error = TopicError;

    fn try_from(name: String) -> Result<Self, TopicError> {
        Self::new(&name)
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.as_str().to_owned()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `topic/lane/offset`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.lane, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no position: write `topic/lane/offset`");
        let mut parts = text.rsplitn(3, '/');
        let offset = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        let lane = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        let topic = parts.next().ok_or_else(wrong)?;
        Ok(Self { topic: Topic::new(topic).map_err(|error| error.to_string())?, lane, offset })
    }
}

impl Next {
    /// The records; none when lanes go, for whoever keeps nothing of a lane in mind.
    pub fn entries(self) -> Vec<Entry> {
        match self {
            Self::Entries(entries) => entries,
            Self::Revoked(_) => Vec::new(),
        }
    }
}

impl Position {
    /// The lane in which it lies.
    pub fn lane_id(&self) -> LaneId {
        LaneId { topic: self.topic.clone(), lane: self.lane }
    }
}

impl Record {
    /// The bytes of key and value together, which a log's limit counts.
    pub fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// Shows sizes only: values are payloads.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} + {} bytes)", self.key.len(), self.value.len())
    }
}

/// Shows the place and sizes only: values are payloads.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} + {} bytes)", self.position, self.key.len(), self.value.len())
    }
}

impl TopicSet {
    /// The topics for which `wanted` says yes; asked once per topic.
    pub fn matching(wanted: impl Fn(&Topic) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(wanted))
    }

    /// Just this topic.
    pub fn one(topic: Topic) -> Self {
        Self::matching(move |other| *other == topic)
    }

    /// Whether `topic` belongs to the set.
    pub fn contains(&self, topic: &Topic) -> bool {
        (self.0)(topic)
    }
}

impl fmt::Debug for TopicSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicSet(..)")
    }
}
