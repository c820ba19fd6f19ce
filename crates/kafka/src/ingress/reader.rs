//! The thread that polls: a member of the group, whatever the pipeline does.
//!
//! It never waits for the pipeline. What a lane has not taken yet waits there, bounded,
//! and a lane that is full is paused while polling goes on, so the group never gives this
//! member up because the log is slow. The one wait is when partitions go to another
//! member, and it is bounded by [`HANDOVER`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hook_core::plan::StartFrom;
use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::{RDKafkaErrorCode as Code, RDKafkaRespErr},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{
    begin::begin,
    lane::{Lane, Taker},
    record::Record,
};
use crate::{
    failure,
    health::{Context, Health},
};

/// How long lanes may take to finish the record they are at, when they go.
const HANDOVER: Duration = Duration::from_secs(10);
/// After so long without a poll the group gives a member up.
const POLLED_WITHIN: &str = "60000";
const POLL: Duration = Duration::from_millis(25);
/// When the same trouble is told again.
const TOLD_AGAIN: Duration = Duration::from_secs(600);
/// Records in one go.
const MOST_POLLED: usize = 512;
/// The wait before a client is tried again that could not be made or could not begin.
const AGAIN: Duration = Duration::from_secs(1);
/// Bytes that may wait in all lanes, and the least and the most of one.
const MOST_BYTES: usize = 32 << 20;
const BYTES_OF_LANE: (usize, usize) = (256 << 10, 4 << 20);

/// What is read.
pub(super) struct Plan {
    pub(super) client: ClientConfig,
    pub(super) topics: Vec<String>,
    pub(super) group: String,
    pub(super) start: StartFrom,
}

/// Reads until it is stopped.
pub(super) struct Reader {
    plan: Plan,
    stop: CancellationToken,
    held: Arc<Held>,
    health: Arc<Health>,
}

/// The lanes of the partitions that this member has.
struct Held {
    group: String,
    taker: Arc<Taker>,
    runtime: Handle,
    lanes: Mutex<HashMap<Key, Lane>>,
}

type Key = (String, i32);

/// What librdkafka calls while it is polled.
struct Callbacks {
    held: Arc<Held>,
    context: Context,
}

type Client = BaseConsumer<Callbacks>;

impl Reader {
    pub(super) fn new(plan: Plan, taker: Taker, runtime: Handle, stop: CancellationToken) -> Self {
        let held =
            Held { group: plan.group.clone(), taker: Arc::new(taker), runtime, lanes: Mutex::default() };
        Self { plan, stop, held: Arc::new(held), health: Arc::default() }
    }

    /// Reads until it is stopped, then leaves the group. Blocks.
    pub(super) fn run(&self) {
        while !self.stop.is_cancelled() {
            if let Err(error) = self.member() {
                self.health.unreachable(&failure::text(&error));
                // Made inside, where there is a clock.
                let pause = async { tokio::time::timeout(AGAIN, self.stop.cancelled()).await.is_err() };
                self.held.runtime.block_on(pause);
            }
            self.held.lanes().clear();
        }
    }

    /// One life of a member.
    fn member(&self) -> KafkaResult<()> {
        let client = self.client()?;
        begin(&client, &self.plan.topics, self.plan.start)?;
        let topics: Vec<&str> = self.plan.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics)?;
        let mut told = Told::default();
        while !self.stop.is_cancelled() && !self.held.is_broken() {
            self.held.keep_room(&client);
            self.poll(&client, &mut told)?;
            self.held.store(&client);
        }
        let all: Vec<Key> = self.held.lanes().keys().cloned().collect();
        self.held.hand_over(&client, &all);
        Ok(())
    }

    fn client(&self) -> KafkaResult<Client> {
        let mut config = self.plan.client.clone();
        config.set("group.id", &self.plan.group);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // What was settled, and nothing else: no record counts as read by being polled.
        config.set("enable.auto.commit", "true");
        config.set("auto.commit.interval.ms", "200");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "earliest");
        config.set("isolation.level", "read_committed");
        config.set("allow.auto.create.topics", "false");
        config.set("session.timeout.ms", "10000");
        config.set("heartbeat.interval.ms", "1500");
        config.set("max.poll.interval.ms", POLLED_WITHIN);
        // A topic that is made later, and partitions that it gets later, are found.
        config.set("topic.metadata.refresh.interval.ms", "5000");
        config.set("queued.min.messages", "2000");
        config.set("queued.max.messages.kbytes", "4096");
        config.set("fetch.message.max.bytes", "1048576");
        config.set("fetch.error.backoff.ms", "100");
        let context = Context(Arc::clone(&self.health));
        config.create_with_context(Callbacks { held: Arc::clone(&self.held), context })
    }

    /// Takes in what has come. An error is the client's end.
    fn poll(&self, client: &Client, told: &mut Told) -> KafkaResult<()> {
        let mut wait = POLL;
        for _ in 0..MOST_POLLED {
            let Some(polled) = client.poll(wait) else { return Ok(()) };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    self.health.reached();
                    if let Some(lane) =
                        self.held.lanes().get(&(message.topic().to_owned(), message.partition()))
                    {
                        lane.push(Record::of(&message));
                    }
                }
                Err(error) if failure::is_fatal(&error) => return Err(error),
                Err(error) => self.note(&error, told),
            }
        }
        Ok(())
    }

    /// Nothing here ends a member: librdkafka goes on by itself.
    fn note(&self, error: &KafkaError, told: &mut Told) {
        let group = self.plan.group.as_str();
        match error.rdkafka_error_code() {
            Some(Code::PollExceeded) => {
                tracing::warn!(
                    group,
                    "this process stood still for so long that its partitions went to others"
                );
            }
            Some(Code::AutoOffsetReset) => {
                tracing::warn!(
                    group,
                    "retention removed records that were not read; reading goes on at the oldest"
                );
            }
            Some(code) if failure::is_missing_topic(error) => {
                if told.once(code) {
                    let topics = self.plan.topics.join("`, `");
                    tracing::warn!(
                        group,
                        "one of the topics `{topics}` is not there; it is read as soon as it is"
                    );
                }
            }
            Some(code)
                if failure::is_transport(error) || matches!(code, Code::Authentication | Code::SSL) =>
            {
                self.health.unreachable(&failure::text(error));
            }
            Some(code) => {
                if told.once(code) {
                    tracing::warn!(group, error = %failure::text(error), "a Kafka consumer was refused");
                }
            }
            None => tracing::warn!(group, %error, "a Kafka consumer failed"),
        }
    }
}

/// What was told already, and is not repeated for a while: librdkafka says it every few seconds.
#[derive(Default)]
struct Told(Vec<(Code, Instant)>);

impl Told {
    fn once(&mut self, code: Code) -> bool {
        self.0.retain(|(_, at)| at.elapsed() < TOLD_AGAIN);
        let new = self.0.iter().all(|(told, _)| *told != code);
        if new {
            self.0.push((code, Instant::now()));
        }
        new
    }
}

impl Held {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Key, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_broken(&self) -> bool {
        let broken = self.lanes().values().any(Lane::is_broken);
        if broken {
            tracing::error!(group = %self.group, "taking a record in crashed; the partitions are read again from their commits");
        }
        broken
    }

    /// Pauses lanes that are full and resumes those that have room.
    fn keep_room(&self, client: &Client) {
        let mut lanes = self.lanes();
        let (least, most) = BYTES_OF_LANE;
        let share = (MOST_BYTES / lanes.len().max(1)).clamp(least, most);
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        for ((topic, partition), lane) in lanes.iter_mut() {
            let changed = if lane.paused { lane.has_room(share) } else { lane.is_full(share) };
            if changed {
                let list = if lane.paused { &mut resume } else { &mut pause };
                list.add_partition(topic, *partition);
                lane.paused = !lane.paused;
            }
        }
        drop(lanes);
        let paused = if pause.count() > 0 { client.pause(&pause) } else { Ok(()) };
        let resumed = if resume.count() > 0 { client.resume(&resume) } else { Ok(()) };
        if let Err(error) = paused.and(resumed) {
            tracing::warn!(group = %self.group, %error, "partitions cannot be paused or resumed");
        }
    }

    /// Passes on what was settled; librdkafka commits it soon after.
    fn store(&self, client: &Client) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), lane) in self.lanes().iter_mut() {
            if let Some(next) = lane.take_next() {
                let added = list.add_partition_offset(topic, *partition, Offset::Offset(next));
                debug_assert!(added.is_ok(), "an offset from a record");
            }
        }
        if list.count() > 0
            && let Err(error) = client.store_offsets(&list)
        {
            tracing::debug!(group = %self.group, %error, "settled records of partitions that are another member's by now");
        }
    }

    /// Lets lanes finish the record they are at, and commits how far they came.
    fn hand_over(&self, client: &Client, keys: &[Key]) {
        let gone: Vec<(Key, Lane)> = {
            let mut lanes = self.lanes();
            keys.iter().filter_map(|key| lanes.remove_entry(key)).collect()
        };
        gone.iter().for_each(|(_, lane)| lane.leave());
        let deadline = Instant::now() + HANDOVER;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), lane) in &gone {
            if !lane.wait_until(deadline) {
                tracing::warn!(group = %self.group, topic, partition, "a record is still being stored while its partition goes; it will come again");
            }
            if let Some(next) = lane.next() {
                let added = list.add_partition_offset(topic, *partition, Offset::Offset(next));
                debug_assert!(added.is_ok(), "an offset from a record");
            }
        }
        if list.count() > 0
            && let Err(error) = client.commit(&list, CommitMode::Sync)
        {
            tracing::warn!(group = %self.group, error = %failure::text(&error), "settled records could not be committed; they will come again");
        }
    }
}

impl Callbacks {
    fn assign(&self, client: &Client, partitions: &TopicPartitionList) {
        let assigned = match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.assign(partitions),
            RebalanceProtocol::Cooperative | RebalanceProtocol::None => client.incremental_assign(partitions),
        };
        // A pause outlives an assignment.
        if let Err(error) = assigned.and_then(|()| client.resume(partitions)) {
            tracing::error!(group = %self.held.group, %error, "partitions could not be taken");
        }
        let start = |key| (key, Lane::start(&self.held.taker, &self.held.runtime));
        self.held.lanes().extend(keys(partitions).into_iter().map(start));
        self.context.0.reached();
        tracing::debug!(group = %self.held.group, partitions = partitions.count(), "partitions assigned");
    }

    fn revoke(&self, client: &Client, partitions: &TopicPartitionList) {
        let keys = keys(partitions);
        if client.assignment_lost() {
            let mut lanes = self.held.lanes();
            keys.iter().for_each(|key| drop(lanes.remove(key)));
        } else {
            self.held.hand_over(client, &keys);
        }
        let unassigned = match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.unassign(),
            RebalanceProtocol::Cooperative | RebalanceProtocol::None => {
                client.incremental_unassign(partitions)
            }
        };
        if let Err(error) = unassigned {
            tracing::error!(group = %self.held.group, %error, "partitions could not be given back");
        }
        tracing::debug!(group = %self.held.group, partitions = keys.len(), "partitions revoked");
    }
}

fn keys(partitions: &TopicPartitionList) -> Vec<Key> {
    partitions.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn rebalance(&self, client: &Client, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(client, partitions),
            _ => self.revoke(client, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(Code::NoOffset)) => {}
            // The partitions are another member's: it does these records again.
            Err(error) if failure::is_lost_membership(&error) => {}
            Err(error) => {
                tracing::debug!(group = %self.held.group, %error, "a commit failed and is repeated")
            }
        }
    }
}
