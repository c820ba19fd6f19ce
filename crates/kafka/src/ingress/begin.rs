//! Where a group begins: decided once, before it is joined, and committed.
//!
//! `auto.offset.reset = latest` would decide it anew for every partition without a commit,
//! at every start, and lose what came meanwhile. So the beginning is a commit of its own,
//! and a partition without one is a young one, which is read whole.

use std::time::Duration;

use hook_core::plan::StartFrom;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext},
    error::KafkaResult,
};

use crate::failure;

/// How long each question to the brokers may take.
const ASKED: Duration = Duration::from_secs(10);

/// Commits where a group begins that has no place in any of its topics. Blocks.
pub(super) fn begin<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topics: &[String],
    start: StartFrom,
) -> KafkaResult<()> {
    if start == StartFrom::Beginning {
        return Ok(());
    }
    let partitions = partitions(client, topics)?;
    if partitions.count() == 0 {
        return Ok(());
    }
    let committed = client.committed_offsets(partitions.clone(), ASKED)?;
    if committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))) {
        return Ok(());
    }
    let places = places(client, partitions, start)?;
    match client.commit(&places, CommitMode::Sync) {
        // The group has members by now: somebody else has begun it.
        Err(error) if failure::is_lost_membership(&error) => Ok(()),
        done => done,
    }
}

/// Every partition of the topics that are there.
fn partitions<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topics: &[String],
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), ASKED)?;
        let found = metadata.topics().iter().filter(|found| found.name() == topic && found.error().is_none());
        for partition in found.flat_map(|found| found.partitions()) {
            list.add_partition(topic, partition.id());
        }
    }
    Ok(list)
}

fn places<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: TopicPartitionList,
    start: StartFrom,
) -> KafkaResult<TopicPartitionList> {
    let found = match start {
        StartFrom::Beginning | StartFrom::Now => None,
        StartFrom::Time(time) => {
            let mut asked = partitions.clone();
            asked.set_all_offsets(Offset::Offset(time.as_millisecond()))?;
            Some(client.offsets_for_times(asked, ASKED)?)
        }
    };
    let mut places = TopicPartitionList::new();
    for element in partitions.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let at_time = found.as_ref().and_then(|found| found.find_partition(topic, partition));
        let offset = match at_time.map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => offset,
            // Nothing is as young as that, so it begins at the end.
            _ => client.fetch_watermarks(topic, partition, ASKED)?.1,
        };
        places.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(places)
}
