//! A member of a group: one client, and one thread that polls it always.
//!
//! However slow its reader is, the thread polls: what the reader does not take is not
//! fetched, and the group never hears that this member is dead because a destination is.
//! The one place where it waits for its reader is a lane's handover, and that wait is
//! bounded by `HANDOVER`, far below the time after which the group gives a member up.

mod callbacks;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hook_log::{Topic, TopicSet};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

use self::callbacks::Callbacks;
use crate::{
    cluster::{Cluster, LaneKey, Topics},
    failure, group,
    health::Context,
    place::Place,
    scan,
};

/// How long one poll waits; what was settled meanwhile is committed after it.
const POLL: Duration = Duration::from_millis(25);
/// Records in one go.
const MOST_POLLED: usize = 512;
/// The wait before a client that could not be made is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often what was settled is committed.
const COMMIT_EVERY: Duration = Duration::from_millis(100);

/// What a member, its reader and its log share.
pub(crate) struct Member {
    pub(crate) group: String,
    topics: TopicSet,
    settling: Settling,
    cluster: Arc<Cluster>,
    place: Mutex<Place>,
    /// For questions of other threads; the thread that polls has its own.
    client: Mutex<Option<Arc<Client>>>,
    /// Something for the reader.
    readable: Notify,
    /// The reader has finished with what goes, or is gone.
    answered: Condvar,
    flushes: Mutex<Vec<oneshot::Sender<()>>>,
    paused: AtomicBool,
    renew: AtomicBool,
    begun: Instant,
    polled_ms: AtomicU64,
    received: AtomicU64,
    ended: Mutex<bool>,
    end: Condvar,
}

/// How what a member read is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settling {
    /// By commits of the member's own.
    Commits,
    /// Inside transactions of whoever reads.
    Transactions,
}

type Client = BaseConsumer<Callbacks>;

impl Member {
    /// Starts the thread. It ends after [`Member::close`], when the group was left.
    pub(crate) fn start(
        group: &str,
        topics: TopicSet,
        settling: Settling,
        cluster: &Arc<Cluster>,
    ) -> std::io::Result<Arc<Self>> {
        let member = Arc::new(Self {
            group: group.to_owned(),
            topics,
            settling,
            cluster: Arc::clone(cluster),
            place: Mutex::default(),
            client: Mutex::default(),
            readable: Notify::new(),
            answered: Condvar::new(),
            flushes: Mutex::default(),
            paused: AtomicBool::new(false),
            renew: AtomicBool::new(false),
            begun: Instant::now(),
            polled_ms: AtomicU64::new(0),
            received: AtomicU64::new(0),
            ended: Mutex::new(false),
            end: Condvar::new(),
        });
        let own = Arc::clone(&member);
        std::thread::Builder::new().name("kafka-member".to_owned()).spawn(move || run(&own))?;
        Ok(member)
    }

    pub(crate) fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there may be something for the reader.
    pub(crate) async fn readable(&self) {
        self.readable.notified().await;
    }

    /// The reader asked for more: a handover may be over.
    pub(crate) fn answered(&self) {
        self.answered.notify_all();
    }

    /// Ends the thread, which leaves the group.
    pub(crate) fn close(&self) {
        self.place().closing = true;
        self.answered.notify_all();
        self.readable.notify_one();
    }

    /// Who this member is to the group now; none before it has joined.
    pub(crate) fn identity(&self) -> Option<ConsumerGroupMetadata> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.as_ref()?.group_metadata()
    }

    fn set_client(&self, client: Option<Arc<Client>>) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Makes the client anew.
    pub(crate) fn renew(&self) {
        self.renew.store(true, Ordering::Relaxed);
    }

    /// Commits what is settled; done when the receiver hears of it.
    pub(crate) fn flush(&self) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner).push(done);
        answer
    }

    /// How long ago the client was polled last.
    pub(crate) fn silent_for(&self) -> Duration {
        let polled = Duration::from_millis(self.polled_ms.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(polled)
    }

    /// How many records came, and the lanes that should bring more.
    pub(crate) fn progress(&self) -> (u64, Vec<LaneKey>) {
        let paused = self.paused.load(Ordering::Relaxed);
        (self.received.load(Ordering::Relaxed), if paused { Vec::new() } else { self.place().held() })
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the group was left, for at most so long; says whether it was. Blocks.
    pub(crate) fn wait_for_end(&self, patience: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.wait_timeout_while(ended, patience, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn is_closing(&self) -> bool {
        self.place().closing
    }

    fn fail(&self, error: &KafkaError) {
        tracing::warn!(group = %self.group, error = %failure::text(error), "a Kafka consumer was refused");
        self.place().fail(failure::read(error));
        self.readable.notify_one();
    }

    /// Real time passes, unless the member is closed.
    fn pause_for(&self, time: Duration) {
        let waited = self.answered.wait_timeout_while(self.place(), time, |place| !place.closing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn run(member: &Arc<Member>) {
    while !member.is_closing() {
        match client(member) {
            Ok(client) => {
                let client = Arc::new(client);
                member.set_client(Some(Arc::clone(&client)));
                poll_until_over(member, &client);
                // The last of it leaves the group.
                member.set_client(None);
            }
            Err(error) => {
                member.fail(&error);
                member.pause_for(AGAIN);
            }
        }
        member.place().left_all();
    }
    if member.place().forgotten
        && let Err(error) = group::delete_now(&member.cluster, &member.group)
    {
        tracing::warn!(group = %member.group, %error, "a group that was forgotten is still there");
    }
    *member.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
    member.end.notify_all();
    member.readable.notify_one();
    answer_flushes(member);
}

fn client(member: &Arc<Member>) -> KafkaResult<Client> {
    let context = Context(Arc::clone(&member.cluster.health));
    config(member).create_with_context(Callbacks { member: Arc::clone(member), context })
}

fn config(member: &Member) -> ClientConfig {
    let mut config = member.cluster.settings.client_config();
    config.set("group.id", &member.group);
    config.set("partition.assignment.strategy", "cooperative-sticky");
    // What was settled, and nothing else: no record counts as read by being given out.
    let commits = member.settling == Settling::Commits;
    config.set("enable.auto.commit", if commits { "true" } else { "false" });
    config.set("auto.commit.interval.ms", COMMIT_EVERY.as_millis().to_string());
    config.set("enable.auto.offset.store", "false");
    // Where a group begins was committed before it was joined, so a lane without a
    // place is a young one, and is read whole.
    config.set("auto.offset.reset", "earliest");
    config.set("isolation.level", "read_committed");
    config.set("allow.auto.create.topics", "false");
    config.set("session.timeout.ms", member.cluster.settings.session_timeout.as_millis().to_string());
    config.set("heartbeat.interval.ms", "1500");
    config.set("max.poll.interval.ms", member.cluster.settings.poll_interval.as_millis().to_string());
    // Lanes that a topic gets later are found.
    config.set("topic.metadata.refresh.interval.ms", "5000");
    config.set("queued.min.messages", "2000");
    config.set("queued.max.messages.kbytes", "8192");
    config.set("fetch.message.max.bytes", "1048576");
    config.set("fetch.error.backoff.ms", "100");
    config.set("fetch.queue.backoff.ms", "50");
    config
}

fn poll_until_over(member: &Member, client: &Client) {
    let mut listed = member.cluster.watch();
    let mut subscribed = Vec::new();
    let mut first = true;
    member.renew.store(false, Ordering::Relaxed);
    while !member.is_closing() && !member.renew.load(Ordering::Relaxed) {
        if std::mem::take(&mut first) || listed.has_changed().unwrap_or(false) {
            follow(member, client, &mut listed, &mut subscribed);
        }
        keep_room(member, client);
        let went_on = poll(member, client);
        member.polled_ms.store(millis(member.begun.elapsed()), Ordering::Relaxed);
        if let Err(error) = went_on {
            tracing::error!(group = %member.group, %error, "a Kafka consumer broke and is made anew");
            break;
        }
        settle(member, client);
        flush(member, client);
    }
    settle(member, client);
}

/// Subscribes to the topics that are there and wanted, whenever those change.
fn follow(
    member: &Member,
    client: &Client,
    listed: &mut watch::Receiver<Arc<Topics>>,
    subscribed: &mut Vec<Topic>,
) {
    let topics = Arc::clone(&listed.borrow_and_update());
    let wanted: Vec<_> = topics.keys().filter(|topic| member.topics.contains(topic)).cloned().collect();
    if wanted == *subscribed {
        return;
    }
    let names: Vec<_> = wanted.iter().map(Topic::as_str).collect();
    if names.is_empty() {
        client.unsubscribe();
    } else if let Err(error) = client.subscribe(&names) {
        return member.fail(&error);
    }
    *subscribed = wanted;
}

/// Stops fetching while the reader is behind, and goes on when it has caught up.
fn keep_room(member: &Member, client: &Client) {
    let paused = member.paused.load(Ordering::Relaxed);
    let (full, room) = {
        let place = member.place();
        (place.is_full(), place.has_room())
    };
    let changed = if paused { room } else { full };
    if !changed {
        return;
    }
    let Ok(assigned) = client.assignment() else { return };
    let done = if paused { client.resume(&assigned) } else { client.pause(&assigned) };
    match done {
        Ok(()) => member.paused.store(!paused, Ordering::Relaxed),
        Err(error) => tracing::warn!(group = %member.group, %error, "a Kafka consumer cannot pause"),
    }
}

/// Takes in what has come. An error is the client's end.
fn poll(member: &Member, client: &Client) -> KafkaResult<()> {
    let mut wait = POLL;
    let mut topic: Option<Topic> = None;
    for count in 0..MOST_POLLED {
        let polled = match client.poll(wait) {
            None => break,
            Some(polled) => polled,
        };
        wait = Duration::ZERO;
        match polled {
            Ok(message) => {
                use rdkafka::Message;
                let same = topic.take().filter(|topic| topic.as_str() == message.topic());
                topic = same.or_else(|| Topic::new(message.topic()).ok());
                if let Some(entry) = topic.as_ref().and_then(|topic| scan::entry(&message, topic)) {
                    // At once: by the next poll its lane may have gone.
                    member.place().admit(entry);
                    member.received.fetch_add(1, Ordering::Relaxed);
                }
                if count == 0 {
                    member.readable.notify_one();
                }
            }
            Err(error) if failure::is_fatal(&error) => return Err(error),
            Err(error) => noted(member, &error),
        }
    }
    member.readable.notify_one();
    Ok(())
}

fn noted(member: &Member, error: &KafkaError) {
    use RDKafkaErrorCode::{Authentication, AutoOffsetReset, PollExceeded, SSL};
    match error.rdkafka_error_code() {
        Some(PollExceeded) => {
            tracing::warn!(group = %member.group, "this process stood still for so long that its lanes went to others");
        }
        Some(AutoOffsetReset) => {
            tracing::warn!(group = %member.group, "retention removed records that were not read; reading goes on at the oldest");
        }
        // Connections are made again, and the health tells of them.
        Some(Authentication | SSL) => {}
        _ if failure::is_transport(error) || failure::is_missing_topic(error) => {}
        _ => member.fail(error),
    }
}

/// Passes on what was settled. librdkafka commits it soon after, in order, and again
/// until it is kept; it takes nothing of lanes that are not held.
fn settle(member: &Member, client: &Client) {
    let due = member.place().take_due();
    store(member, client, &due);
}

fn store(member: &Member, client: &Client, places: &HashMap<LaneKey, u64>) {
    if places.is_empty() {
        return;
    }
    if let Err(error) = list(places).and_then(|list| client.store_offsets(&list)) {
        tracing::debug!(group = %member.group, %error, "settled records of lanes that are another member's by now");
    }
}

/// Commits everything that was passed on, and waits for it.
///
/// NOTE: never a list of its own. librdkafka commits what was passed on once more when a
/// lane goes, and would go back to it.
fn commit_now(member: &Member, client: &Client) {
    match client.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
        // Whoever gets these lanes sees some records again.
        Err(error) => {
            tracing::warn!(group = %member.group, error = %failure::text(&error), "settled records could not be committed");
        }
    }
}

fn flush(member: &Member, client: &Client) {
    if member.flushes.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        return;
    }
    commit_now(member, client);
    answer_flushes(member);
}

fn answer_flushes(member: &Member) {
    let waiting = std::mem::take(&mut *member.flushes.lock().unwrap_or_else(PoisonError::into_inner));
    // Whoever asked may have stopped waiting.
    for done in waiting {
        let _ = done.send(());
    }
}

fn list(places: &HashMap<LaneKey, u64>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (lane, next) in places {
        scan::add(&mut list, lane, *next)?;
    }
    Ok(list)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
