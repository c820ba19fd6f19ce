//! [`Log`] over a Kafka cluster: topics are topics, lanes are partitions, groups are groups.
//!
//! What differs from a log of one's own: offsets have gaps, a lane may go to another
//! member of the group, and the time of an append is the brokers' (on topics that this
//! log made; on others it is whatever the topic's `message.timestamp.type` says, and
//! with `CreateTime` it may go back).
//!
//! A Kafka cluster forgets a group that nobody was a member of for its
//! `offsets.retention.minutes` (7 days unless set); then it begins anew.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use hook_log::{
    AppendError, Entry, Log, Position, ReadError, Record, Scan, Start, Subscription, Topic, TopicInfo,
    TopicSet,
};
use rdkafka::error::KafkaError;

use crate::{
    append::{Appender, Failure},
    cluster::{Cluster, blocking},
    failure, group,
    health::Health,
    keeper,
    member::{Member, Settling},
    scan::{KafkaScan, Readers},
    settings::Settings,
    subscription::KafkaSubscription,
};

/// How long leaving every group may take when the log is closed.
const LEFT_WITHIN: Duration = Duration::from_secs(15);
/// How long the members of one process may take to commit, when somebody asks what was.
const FLUSHED_WITHIN: Duration = Duration::from_secs(2);

/// A log in a Kafka cluster.
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    appender: Appender,
    readers: Arc<Readers>,
    members: Members,
    /// Where a group begins is decided for one at a time.
    beginning: tokio::sync::Mutex<()>,
    closed: AtomicBool,
    keeper: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

/// The members of groups that this process has, also those that are just leaving.
pub(crate) type Members = Arc<Mutex<Vec<Arc<Member>>>>;

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// librdkafka refuses the configuration.
    #[error("the Kafka client cannot be set up: {0}")]
    Client(String),
    /// Nobody answers.
    #[error("cannot reach Kafka at {brokers}: {reason}")]
    Unreachable {
        /// Where.
        brokers: String,
        /// What is known of the cause.
        reason: String,
    },
}

impl KafkaLog {
    /// Reaches the cluster.
    ///
    /// # Errors
    /// When the configuration cannot work, or no broker answers.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        let brokers = settings.endpoint();
        let log = Self::open_unreached(settings)?;
        let asked = Arc::clone(&log.cluster);
        let listed = blocking(move || asked.list()).await;
        listed.map_err(|error| OpenError::Unreachable { brokers, reason: reason(error) })?;
        Ok(log)
    }

    /// The same for a cluster that need not be there yet: until it is, whoever appends or
    /// reads is told so.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn open_unreached(settings: Settings) -> Result<Self, OpenError> {
        let health = Arc::new(Health::default());
        let client = |error: KafkaError| OpenError::Client(error.to_string());
        let cluster = Arc::new(Cluster::new(settings.clone(), Arc::clone(&health)).map_err(client)?);
        let members = Members::default();
        let keeper =
            keeper::start(&cluster, &members).map_err(|error| OpenError::Client(error.to_string()))?;
        Ok(Self {
            appender: Appender::new(&settings, &health).map_err(client)?,
            readers: Arc::new(Readers::new(Arc::clone(&cluster))),
            cluster,
            members,
            beginning: tokio::sync::Mutex::new(()),
            closed: AtomicBool::new(false),
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// Why nothing can be stored or read now, if so. Known within seconds, and gone as
    /// soon as the cluster answers.
    pub fn trouble(&self) -> Option<String> {
        self.cluster.health.trouble()
    }

    /// Commits what was settled, leaves every group, and refuses whoever comes from now on.
    /// Blocks while that takes, but not for ever.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.appender.close();
        let members = std::mem::take(&mut *self.members());
        members.iter().for_each(|member| member.close());
        let until = std::time::Instant::now() + LEFT_WITHIN;
        for member in members {
            if !member.wait_for_end(until.saturating_duration_since(std::time::Instant::now())) {
                tracing::warn!(group = %member.group, "the group could not be left in time");
            }
        }
        self.readers.close();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, keeper)) = keeper {
            drop(stop);
            // A panic in it was reported when it happened.
            let _ = keeper.join();
        }
    }

    /// Joins a group, which begins at `start` if it is new.
    pub(crate) async fn join(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
        settling: Settling,
    ) -> Result<Arc<Member>, ReadError> {
        self.check_open()?;
        let _one_at_a_time = self.beginning.lock().await;
        self.settled(group).await?;
        group::begin(&self.cluster, group, &topics, start).await?;
        let member = Member::start(group, topics, settling, &self.cluster)?;
        self.members().push(Arc::clone(&member));
        Ok(member)
    }

    /// The cluster, for who does more with it than a log.
    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Refuses what the topic is known not to take.
    pub(crate) fn check_sizes<'a>(
        &self,
        topic: &Topic,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<(), AppendError> {
        let limit = self.cluster.settings.max_record_bytes;
        let limit = self.cluster.known_limit(topic).map_or(limit, |known| known.min(limit));
        match records.into_iter().map(Record::size).find(|size| *size > limit) {
            Some(size) => Err(AppendError::TooLarge { size, limit }),
            None => Ok(()),
        }
    }

    fn check_open(&self) -> Result<(), ReadError> {
        if self.closed.load(Ordering::Relaxed) { Err(ReadError::Closed) } else { Ok(()) }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| !member.has_ended());
        members
    }

    fn members_of(&self, group: &str) -> Vec<Arc<Member>> {
        self.members().iter().filter(|member| member.group == group).cloned().collect()
    }

    /// Waits for members of the group whose reader is gone, so that what they leave is settled.
    async fn settled(&self, group: &str) -> Result<(), ReadError> {
        let leaving: Vec<_> =
            self.members_of(group).into_iter().filter(|member| member.place().closing).collect();
        if leaving.is_empty() {
            return Ok(());
        }
        blocking(move || {
            for member in leaving {
                member.wait_for_end(LEFT_WITHIN);
            }
            Ok(())
        })
        .await
    }
}

fn reason(error: ReadError) -> String {
    match error {
        ReadError::Unavailable(reason) => reason,
        other => other.to_string(),
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn append(&self, topic: &Topic, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(AppendError::Closed);
        }
        self.check_sizes(topic, &records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.cluster.ensure(topic).await?;
        match self.appender.append(topic, records).await {
            Err(Failure::TooLarge { size }) => Err(self.too_large(topic, size).await),
            Err(Failure::NoTopic) => {
                self.cluster.forget_topic(topic);
                Err(failure::unavailable(format!("topic `{topic}` is not there any more")))
            }
            Err(Failure::Other(error)) => Err(error),
            Ok(positions) => Ok(positions),
        }
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: TopicSet,
        start: Start,
    ) -> Result<Box<dyn Subscription>, ReadError> {
        let member = self.join(group, topics, start, Settling::Commits).await?;
        Ok(Box::new(KafkaSubscription(member)))
    }

    async fn scan(&self, topic: &Topic, start: Start) -> Result<Box<dyn Scan>, ReadError> {
        self.check_open()?;
        let (readers, topic) = (Arc::clone(&self.readers), topic.clone());
        let walk = blocking(move || readers.walk(&topic, start)).await?;
        Ok(Box::new(KafkaScan(Arc::new(Mutex::new(walk)))))
    }

    async fn scan_lanes(&self, topic: &Topic, from: &[(u32, u64)]) -> Result<Box<dyn Scan>, ReadError> {
        self.check_open()?;
        let (readers, topic, from) = (Arc::clone(&self.readers), topic.clone(), from.to_vec());
        let walk = blocking(move || readers.walk_lanes(&topic, &from)).await?;
        Ok(Box::new(KafkaScan(Arc::new(Mutex::new(walk)))))
    }

    async fn read(&self, position: &Position) -> Result<Option<Entry>, ReadError> {
        self.check_open()?;
        let (readers, position) = (Arc::clone(&self.readers), position.clone());
        blocking(move || readers.read(&position)).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, ReadError> {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || cluster.infos()).await
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>, ReadError> {
        self.settled(group).await?;
        for member in self.members_of(group) {
            // One that cannot commit now is told of by its group's lag.
            let _ = tokio::time::timeout(FLUSHED_WITHIN, member.flush()).await;
        }
        let (cluster, group) = (Arc::clone(&self.cluster), group.to_owned());
        blocking(move || group::committed(&cluster, &group)).await
    }

    async fn forget(&self, group: &str) -> Result<(), ReadError> {
        self.check_open()?;
        self.settled(group).await?;
        let members = self.members_of(group);
        if members.is_empty() {
            return group::delete(&self.cluster, group).await;
        }
        // Kafka keeps a group that has members; the last of them removes it.
        members.iter().for_each(|member| member.place().forget());
        Ok(())
    }
}

impl KafkaLog {
    /// The broker's own limit, now that it was met.
    pub(crate) async fn too_large(&self, topic: &Topic, size: usize) -> AppendError {
        let limit = self.cluster.limit(topic).await;
        if size > limit {
            return AppendError::TooLarge { size, limit };
        }
        // Near the limit a record fits only without what travels with it.
        match limit.checked_sub(size) {
            Some(room) if room < 1024 => AppendError::TooLarge { size, limit: size.saturating_sub(1) },
            _ => failure::unavailable(format!(
                "a batch was larger than the {limit} bytes that `max.message.bytes` of topic `{topic}` allows"
            )),
        }
    }
}
