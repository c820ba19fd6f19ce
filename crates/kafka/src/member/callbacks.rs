//! What librdkafka calls on the member's thread: lanes that come and lanes that go.
//!
//! A lane goes only here, and in this order: nothing more of it is given out, the reader
//! finishes with it, what was settled is committed, and then it is let go.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::{Client, Member, commit_now, store};
use crate::{
    cluster::{LaneKey, lane_key},
    failure,
    health::Context,
};

/// How long a reader may take to finish with lanes that go to another member.
const HANDOVER: Duration = Duration::from_secs(20);

/// What librdkafka calls while it is polled.
pub(super) struct Callbacks {
    pub(super) member: Arc<Member>,
    pub(super) context: Context,
}

impl Callbacks {
    fn assign(&self, client: &Client, lanes: &TopicPartitionList) {
        self.member.place().got(keys(lanes));
        tracing::debug!(group = %self.member.group, lanes = lanes.count(), "lanes assigned");
        let assigned = match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.assign(lanes),
            RebalanceProtocol::Cooperative | RebalanceProtocol::None => client.incremental_assign(lanes),
        };
        let paused = self.member.paused.load(Ordering::Relaxed);
        // A pause outlives an assignment, so it is undone where it is over.
        let kept = if paused { client.pause(lanes) } else { client.resume(lanes) };
        if let Err(error) = assigned.and(kept) {
            tracing::error!(group = %self.member.group, %error, "lanes could not be taken");
        }
    }

    fn revoke(&self, client: &Client, lanes: &TopicPartitionList) {
        let keys = keys(lanes);
        let lost = client.assignment_lost();
        tracing::debug!(group = %self.member.group, lanes = keys.len(), lost, "lanes revoked");
        let waits = self.member.place().leave(&keys);
        self.member.readable.notify_one();
        if waits && !lost {
            self.hand_over();
        }
        let last = self.member.place().left(&keys);
        if !lost && !last.is_empty() {
            store(&self.member, client, &last);
            commit_now(&self.member, client);
        }
        let unassigned = match client.rebalance_protocol() {
            RebalanceProtocol::Eager => client.unassign(),
            RebalanceProtocol::Cooperative | RebalanceProtocol::None => client.incremental_unassign(lanes),
        };
        if let Err(error) = unassigned {
            tracing::error!(group = %self.member.group, %error, "lanes could not be given back");
        }
    }

    /// Waits until the reader has finished with what goes, but not for ever.
    fn hand_over(&self) {
        let place = self.member.place();
        let waited =
            self.member.answered.wait_timeout_while(place, HANDOVER, |place| !place.is_handed_over());
        let (_place, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            tracing::warn!(
                group = %self.member.group,
                "lanes go to another member while this one is not done with them; some records will be delivered twice"
            );
        }
    }
}

fn keys(lanes: &TopicPartitionList) -> Vec<LaneKey> {
    lanes.elements().iter().filter_map(lane_key).collect()
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
    fn rebalance(&self, client: &Client, kind: RDKafkaRespErr, lanes: &mut TopicPartitionList) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(client, lanes),
            _ => self.revoke(client, lanes),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        match result {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            // The lanes are another member's: it does these records again.
            Err(error) if failure::is_lost_membership(&error) => {}
            Err(error) => {
                tracing::debug!(group = %self.member.group, %error, "a commit failed and is repeated")
            }
        }
    }
}
