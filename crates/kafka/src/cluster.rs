//! The cluster's topics: which there are, where they begin and end, and how one is made.
//!
//! Everything here asks the cluster and blocks while it waits, always bounded by
//! [`ASKED`]; [`blocking`] takes it off the threads that serve. Topics of others are
//! never shown: a log's are those of its prefix, of `hook.`, and the dead letters.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hook_core::plan::Retention;
use hook_log::{AppendError, Lane, ReadError, Topic, TopicInfo};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::watch;

use crate::{
    failure::{self, unavailable},
    health::{Context, Health},
    settings::Settings,
};

/// How long a question to the cluster may take.
pub(crate) const ASKED: Duration = Duration::from_secs(5);
/// How long a topic that was just made may take to be known by every broker.
const SPREAD: Duration = Duration::from_millis(100);
/// How long a client is listened to after a question.
const HEARD: Duration = Duration::from_millis(5);
/// What Kafka takes where a topic does not say it.
const USUAL_LIMIT: usize = 1_048_588;

/// The log's topics, each with its number of lanes.
pub(crate) type Topics = BTreeMap<Topic, u32>;

/// A lane of a topic.
pub(crate) type LaneKey = (Topic, u32);

/// A connection for questions.
pub(crate) struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) health: Arc<Health>,
    client: BaseConsumer<Context>,
    /// What was listed last; whoever reads by pattern waits for it to change.
    listed: watch::Sender<Arc<Topics>>,
    /// The largest record that a topic takes, where it was asked.
    limits: Mutex<HashMap<Topic, usize>>,
    /// One topic is made at a time.
    making: tokio::sync::Mutex<()>,
}

impl Cluster {
    pub(crate) fn new(settings: Settings, health: Arc<Health>) -> Result<Self, KafkaError> {
        let mut config = settings.client_config();
        config.set("isolation.level", "read_committed");
        config.set("allow.auto.create.topics", "false");
        let client = config.create_with_context(Context(Arc::clone(&health)))?;
        let (listed, _) = watch::channel(Arc::new(Topics::new()));
        Ok(Self {
            settings,
            health,
            client,
            listed,
            limits: Mutex::default(),
            making: tokio::sync::Mutex::new(()),
        })
    }

    /// The topics as they were listed last, now and whenever they change.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Topics>> {
        self.listed.subscribe()
    }

    /// Asks which topics there are. Blocks.
    pub(crate) fn list(&self) -> Result<Arc<Topics>, ReadError> {
        let answer = self.client.fetch_metadata(None, ASKED);
        // What the client has to say of its connections.
        while self.client.poll(HEARD).is_some() {}
        let metadata = answer.map_err(|error| self.failed(&error))?;
        self.health.reached();
        let mut topics = Topics::new();
        for topic in metadata.topics().iter().filter(|topic| self.settings.holds(topic.name())) {
            let lanes = u32::try_from(topic.partitions().len()).unwrap_or(0);
            if let (Ok(name), true) = (Topic::new(topic.name()), lanes > 0) {
                topics.insert(name, lanes);
            }
        }
        let topics = Arc::new(topics);
        self.note(&topics);
        Ok(topics)
    }

    fn note(&self, topics: &Arc<Topics>) {
        self.listed.send_if_modified(|listed| {
            let changed = *listed != *topics;
            if changed {
                *listed = Arc::clone(topics);
            }
            changed
        });
    }

    fn failed(&self, error: &KafkaError) -> ReadError {
        let reason = failure::text(error);
        if failure::is_transport(error) {
            self.health.unreachable(&reason);
        }
        ReadError::Unavailable(self.health.reason(&reason))
    }

    /// A topic's lanes. Blocks.
    pub(crate) fn lanes(&self, topic: &Topic) -> Result<u32, ReadError> {
        let known = self.listed.borrow().get(topic).copied();
        match known {
            Some(lanes) => Ok(lanes),
            None => self.list()?.get(topic).copied().ok_or_else(|| ReadError::NoTopic(topic.clone())),
        }
    }

    /// The offsets that each lane has at `place`: an end, or the first at a time. Blocks.
    pub(crate) fn offsets(
        &self,
        lanes: impl IntoIterator<Item = LaneKey>,
        place: Offset,
    ) -> Result<HashMap<LaneKey, u64>, ReadError> {
        let mut asked = TopicPartitionList::new();
        for (topic, lane) in lanes {
            let lane = i32::try_from(lane).unwrap_or(i32::MAX);
            asked
                .add_partition_offset(topic.as_str(), lane, place)
                .map_err(|error| ReadError::Unavailable(failure::text(&error)))?;
        }
        if asked.count() == 0 {
            return Ok(HashMap::new());
        }
        let until = Instant::now() + ASKED;
        loop {
            match self.offsets_once(asked.clone()) {
                Err(_) if Instant::now() < until => drop(self.client.poll(SPREAD)),
                answer => return answer,
            }
        }
    }

    fn offsets_once(&self, asked: TopicPartitionList) -> Result<HashMap<LaneKey, u64>, ReadError> {
        let answer = self.client.offsets_for_times(asked, ASKED).map_err(|error| self.failed(&error))?;
        let mut offsets = HashMap::new();
        for element in answer.elements() {
            element.error().map_err(|error| ReadError::Unavailable(failure::text(&error)))?;
            let (Some(key), Offset::Offset(offset)) = (lane_key(&element), element.offset()) else {
                continue;
            };
            offsets.insert(key, u64::try_from(offset).unwrap_or(0));
        }
        Ok(offsets)
    }

    /// Every topic with its lanes. Blocks.
    pub(crate) fn infos(&self) -> Result<Vec<TopicInfo>, ReadError> {
        let topics = self.list()?;
        let lanes = || topics.iter().flat_map(|(topic, lanes)| (0..*lanes).map(|lane| (topic.clone(), lane)));
        let first = self.offsets(lanes(), Offset::Beginning)?;
        let next = self.offsets(lanes(), Offset::End)?;
        // INVARIANT: never a guess. Whoever keeps an index of the log takes an end before
        // its own for another log.
        let at = |offsets: &HashMap<LaneKey, u64>, lane: &LaneKey| {
            let unknown =
                || ReadError::Unavailable(format!("no broker says where {}/{} ends", lane.0, lane.1));
            offsets.get(lane).copied().ok_or_else(unknown)
        };
        let mut infos = Vec::new();
        for (topic, lanes) in topics.iter() {
            let lane = |lane| {
                let key = (topic.clone(), lane);
                let (first, next) = (at(&first, &key)?, at(&next, &key)?);
                Ok(Lane { lane, first, next: next.max(first), bytes: 0 })
            };
            let lanes = (0..*lanes).map(lane).collect::<Result<_, ReadError>>()?;
            infos.push(TopicInfo { topic: topic.clone(), lanes });
        }
        Ok(infos)
    }

    /// Makes sure that a topic is there before something is appended to it.
    pub(crate) async fn ensure(self: &Arc<Self>, topic: &Topic) -> Result<(), AppendError> {
        if self.listed.borrow().contains_key(topic) {
            return Ok(());
        }
        let _one_at_a_time = self.making.lock().await;
        let (cluster, wanted) = (Arc::clone(self), topic.clone());
        match blocking(move || cluster.lanes(&wanted)).await {
            Ok(_) => Ok(()),
            Err(ReadError::NoTopic(_)) if self.settings.auto_create_topics => self.make(topic).await,
            Err(ReadError::NoTopic(_)) => Err(unavailable(self.missing(topic))),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }

    fn missing(&self, topic: &Topic) -> String {
        format!(
            "topic `{topic}` does not exist and `auto_create_topics` is off: create it with {} partitions, {} \
             replicas and `message.timestamp.type=LogAppendTime`",
            self.settings.topic_partitions, self.settings.topic_replication_factor
        )
    }

    async fn make(self: &Arc<Self>, topic: &Topic) -> Result<(), AppendError> {
        let settings = &self.settings;
        let config = topic_config(settings, topic);
        let replicas = i32::try_from(settings.topic_replication_factor).unwrap_or(i32::MAX);
        let lanes = i32::try_from(settings.topic_partitions).unwrap_or(i32::MAX);
        let mut new = NewTopic::new(topic.as_str(), lanes, TopicReplication::Fixed(replicas));
        for (name, value) in &config {
            new = new.set(name, value);
        }
        let admin = self.admin().map_err(|error| unavailable(failure::text(&error)))?;
        let options = AdminOptions::new().operation_timeout(Some(ASKED)).request_timeout(Some(ASKED));
        let made = admin.create_topics([&new], &options).await;
        let refused = match made.map(|mut results| results.pop()) {
            Ok(Some(Err((_, code)))) if code != RDKafkaErrorCode::TopicAlreadyExists => code.to_string(),
            Ok(_) => {
                tracing::info!(%topic, lanes, replicas, "topic created");
                return self.known(topic).await;
            }
            Err(error) => self.health.reason(&error.to_string()),
        };
        Err(unavailable(format!("topic `{topic}` cannot be created: {refused}")))
    }

    /// Waits until the topic is listed, so that readers find it too.
    async fn known(self: &Arc<Self>, topic: &Topic) -> Result<(), AppendError> {
        let (cluster, wanted) = (Arc::clone(self), topic.clone());
        let listed = blocking(move || {
            let until = Instant::now() + ASKED;
            loop {
                match cluster.lanes(&wanted) {
                    Err(ReadError::NoTopic(_)) if Instant::now() < until => drop(cluster.client.poll(SPREAD)),
                    answer => return answer,
                }
            }
        });
        listed.await.map(drop).map_err(|error| unavailable(error.to_string()))
    }

    /// The topic is gone, as far as a producer can tell.
    pub(crate) fn forget_topic(&self, topic: &Topic) {
        self.listed.send_if_modified(|listed| {
            let mut topics = (**listed).clone();
            let was_there = topics.remove(topic).is_some();
            *listed = Arc::new(topics);
            was_there
        });
    }

    /// The largest record that the topic takes, as far as it can be known.
    pub(crate) async fn limit(&self, topic: &Topic) -> usize {
        if let Some(limit) = self.known_limit(topic) {
            return limit;
        }
        let limit = self.ask_limit(topic).await.unwrap_or(USUAL_LIMIT);
        self.limits().insert(topic.clone(), limit);
        limit
    }

    pub(crate) fn known_limit(&self, topic: &Topic) -> Option<usize> {
        self.limits().get(topic).copied()
    }

    async fn ask_limit(&self, topic: &Topic) -> Option<usize> {
        let admin = self.admin().ok()?;
        let options = AdminOptions::new().request_timeout(Some(ASKED));
        let answer =
            admin.describe_configs([&ResourceSpecifier::Topic(topic.as_str())], &options).await.ok()?;
        let config = answer.into_iter().next()?.ok()?;
        config.get("max.message.bytes")?.value.as_ref()?.parse().ok()
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<Topic, usize>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client for one task: one that is kept would gather what nobody reads of it.
    pub(crate) fn admin(&self) -> Result<AdminClient<Context>, KafkaError> {
        AdminClient::from_config_and_context(
            &self.settings.client_config(),
            Context(Arc::clone(&self.health)),
        )
    }
}

/// What a topic of ours is made with.
fn topic_config(settings: &Settings, topic: &Topic) -> Vec<(&'static str, String)> {
    let kept = if *topic == settings.dead_letters || topic.as_str() == "hook.ledger" {
        settings.dead_letter_retention
    } else {
        settings.retention
    };
    let Retention { max_age, max_bytes } = kept;
    // The brokers' clock, so that time never goes back in a lane whoever appends.
    let mut config = vec![
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("max.message.bytes", (settings.max_record_bytes + (1 << 20)).to_string()),
        ("segment.bytes", settings.segment_bytes.to_string()),
        ("retention.ms", max_age.map_or_else(|| "-1".to_owned(), |age| age.as_millis().to_string())),
    ];
    if let Some(bytes) = max_bytes {
        config.push(("retention.bytes", (bytes / u64::from(settings.topic_partitions)).to_string()));
    }
    config
}

/// The lane that an element of a list is about, if it is one of ours.
pub(crate) fn lane_key(
    element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>,
) -> Option<LaneKey> {
    Some((Topic::new(element.topic()).ok()?, u32::try_from(element.partition()).ok()?))
}

/// Work that waits for the cluster, off the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ReadError::Unavailable(error.to_string()))?
}
