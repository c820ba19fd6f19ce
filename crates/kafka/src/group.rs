//! Groups without being a member: where one begins, what it committed, and its end.
//!
//! The port decides once where a group begins, and Kafka only knows commits. So the
//! beginning is a commit, marked [`BEGAN`], made before anybody joins; whatever lane has
//! none when the group is joined is young and read whole. A group that begins before any
//! of its topics is there leaves its mark in a topic of our own, [`MARKS`].

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use hook_log::{Position, ReadError, Start, Topic, TopicSet};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::AdminOptions,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};

use crate::{
    cluster::{ASKED, Cluster, LaneKey, blocking, lane_key},
    failure,
    health::Context,
    scan,
};

/// Written beside an offset where a group began, for it settled nothing there.
const BEGAN: &str = "began";
/// Holds no records: groups that began before their topics have a commit in it.
const MARKS: &str = "hook.groups";
/// The group's coordinator may have to be found, or made, first.
const COORDINATED: Duration = Duration::from_secs(15);
/// The wait before it is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// A place that a group has in a lane.
struct Place {
    lane: LaneKey,
    next: u64,
    began: bool,
}

/// A client that speaks for a group without joining it.
struct Spokesman(BaseConsumer<Context>);

impl Spokesman {
    fn new(cluster: &Cluster, group: &str) -> KafkaResult<Self> {
        let mut config = cluster.settings.client_config();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("allow.auto.create.topics", "false");
        let context = Context(Arc::clone(&cluster.health));
        Ok(Self(config.create_with_context(context)?))
    }

    /// Every place that the group has. Blocks.
    fn places(&self, cluster: &Cluster) -> Result<Vec<Place>, ReadError> {
        let mut asked = TopicPartitionList::new();
        for (topic, lanes) in cluster.list()?.iter() {
            let last = i32::try_from(*lanes).unwrap_or(i32::MAX) - 1;
            asked.add_partition_range(topic.as_str(), 0, last);
        }
        if asked.count() == 0 {
            return Ok(Vec::new());
        }
        let answer = self.patiently(|client| client.committed_offsets(asked.clone(), COORDINATED));
        let answer =
            answer.map_err(|error| ReadError::Unavailable(cluster.health.reason(&failure::text(&error))))?;
        let place =
            |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
                Offset::Offset(next) => Some(Place {
                    lane: lane_key(element)?,
                    next: u64::try_from(next).ok()?,
                    began: element.metadata() == BEGAN,
                }),
                _ => None,
            };
        Ok(answer.elements().iter().filter_map(place).collect())
    }

    /// Asks again while the group's coordinator is moving.
    fn patiently<T>(&self, ask: impl Fn(&BaseConsumer<Context>) -> KafkaResult<T>) -> KafkaResult<T> {
        let until = Instant::now() + COORDINATED;
        loop {
            match ask(&self.0) {
                Err(error) if failure::is_coordinator_moving(&error) && Instant::now() < until => {
                    drop(self.0.poll(AGAIN));
                }
                answer => return answer,
            }
        }
    }

    /// Commits where the group begins. Blocks.
    fn begin(&self, places: &HashMap<LaneKey, u64>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (lane, next) in places {
            scan::add(&mut list, lane, *next)?;
        }
        for mut element in list.elements() {
            element.set_metadata(BEGAN);
        }
        match self.patiently(|client| client.commit(&list, CommitMode::Sync)) {
            // The group has members by now: somebody else has begun it.
            Err(error) if failure::is_lost_membership(&error) => Ok(()),
            done => done,
        }
    }
}

/// Decides where a group begins, unless that was decided before.
pub(crate) async fn begin(
    cluster: &Arc<Cluster>,
    group: &str,
    topics: &TopicSet,
    start: Start,
) -> Result<(), ReadError> {
    let (own, name, wanted) = (Arc::clone(cluster), group.to_owned(), topics.clone());
    if blocking(move || begin_where_it_can(&own, &name, &wanted, start)).await? {
        return Ok(());
    }
    let marks = Topic::new(MARKS).map_err(|error| ReadError::Unavailable(error.to_string()))?;
    if let Err(error) = cluster.ensure(&marks).await {
        tracing::warn!(group, %error, "the group's start cannot be kept: a restart before its topics are there decides it anew");
        return Ok(());
    }
    let (own, name) = (Arc::clone(cluster), group.to_owned());
    blocking(move || {
        let spokesman = Spokesman::new(&own, &name).map_err(|error| failure::read(&error))?;
        spokesman.begin(&HashMap::from([((marks, 0), 0)])).map_err(|error| failure::read(&error))
    })
    .await
}

/// False when the group is new, none of its topics is there, and it matters.
fn begin_where_it_can(
    cluster: &Cluster,
    group: &str,
    topics: &TopicSet,
    start: Start,
) -> Result<bool, ReadError> {
    let spokesman = Spokesman::new(cluster, group).map_err(|error| failure::read(&error))?;
    if !spokesman.places(cluster)?.is_empty() {
        return Ok(true);
    }
    let listed = cluster.list()?;
    let wanted = listed.iter().filter(|(topic, _)| topics.contains(topic));
    let lanes: Vec<LaneKey> =
        wanted.flat_map(|(topic, lanes)| (0..*lanes).map(|lane| (topic.clone(), lane))).collect();
    if lanes.is_empty() {
        return Ok(start == Start::Beginning);
    }
    let ends = cluster.offsets(lanes.iter().cloned(), Offset::End)?;
    let places = scan::starts(cluster, lanes, &ends, start)?;
    spokesman.begin(&places).map_err(|error| failure::read(&error))?;
    Ok(true)
}

/// The last settled position of each lane. Blocks.
pub(crate) fn committed(cluster: &Cluster, group: &str) -> Result<Vec<Position>, ReadError> {
    let spokesman = Spokesman::new(cluster, group).map_err(|error| failure::read(&error))?;
    let position = |place: Place| {
        let settled = !place.began && place.lane.0.as_str() != MARKS;
        let offset = place.next.checked_sub(1).filter(|_| settled)?;
        Some(Position { topic: place.lane.0, lane: place.lane.1, offset })
    };
    let mut positions: Vec<_> = spokesman.places(cluster)?.into_iter().filter_map(position).collect();
    positions.sort();
    Ok(positions)
}

/// Removes a group that has no members.
pub(crate) async fn delete(cluster: &Cluster, group: &str) -> Result<(), ReadError> {
    let admin = cluster.admin().map_err(|error| failure::read(&error))?;
    let options = AdminOptions::new().request_timeout(Some(ASKED));
    let refused = match admin.delete_groups(&[group], &options).await {
        Ok(results) => results.into_iter().find_map(Result::err).map(|(_, code)| code),
        Err(KafkaError::AdminOp(code)) => Some(code),
        Err(error) => return Err(ReadError::Unavailable(cluster.health.reason(&error.to_string()))),
    };
    match refused {
        None | Some(RDKafkaErrorCode::GroupIdNotFound) => Ok(()),
        Some(RDKafkaErrorCode::NonEmptyGroup) => {
            Err(ReadError::Unavailable(format!("the group `{group}` has members in another process")))
        }
        Some(code) => Err(ReadError::Unavailable(code.to_string())),
    }
}

/// The same from a thread that serves nobody.
pub(crate) fn delete_now(cluster: &Cluster, group: &str) -> Result<(), ReadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(delete(cluster, group))
}
