//! One attempt of `kafka_output`, and how what came of it is judged.

use async_trait::async_trait;
use hook_core::ports::{DeliverError, Delivered, Egress, Failure};
use hook_event::Event;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use super::{
    config::Target,
    producer::{Publisher, Trouble, is_refused},
    wire::Wire,
};
use crate::failure;

/// A topic, or several, that take events.
pub(super) struct KafkaOutput {
    pub(super) publisher: Publisher,
    pub(super) target: Target,
    pub(super) wire: Wire,
}

#[async_trait]
impl Egress for KafkaOutput {
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let topic = self.target.of(event)?;
        match self.publisher.send(&topic, &self.wire.record(event)).await {
            Ok(place) => {
                let detail = format!("{topic}/{}/{}", place.partition, place.offset);
                Ok(Delivered { status: None, detail: Some(detail) })
            }
            Err(error) => Err(self.judged(&error, &topic)),
        }
    }

    async fn probe(&self) -> Result<(), DeliverError> {
        let topic = self.target.fixed();
        let answer = self.publisher.probe(topic).await;
        answer.map_err(|error| match self.judged(&error, topic.unwrap_or_default()) {
            // Nothing was sent that could have failed.
            DeliverError::Failed(failure) => DeliverError::Unavailable(failure),
            judged => judged,
        })
    }
}

impl KafkaOutput {
    fn judged(&self, error: &KafkaError, topic: &str) -> DeliverError {
        judge(error, self.publisher.trouble().as_ref(), topic, self.target.fixed().is_some())
    }
}

/// What an error means, given what was heard of the connections.
fn judge(error: &KafkaError, trouble: Option<&Trouble>, topic: &str, fixed: bool) -> DeliverError {
    let because = |reason: String| Failure::because(reason);
    let Some(code) = error.rdkafka_error_code() else {
        return DeliverError::Unavailable(because(format!("the Kafka client gave up: {error}")));
    };
    let text = failure::text(error);
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            DeliverError::Refused(because(format!("the record is larger than `{topic}` takes: {text}")))
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition if fixed => {
            let what = "is not there and the brokers do not make it by themselves: create it";
            DeliverError::Halted(because(format!("the topic `{topic}` {what}")))
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            DeliverError::Refused(because(format!("the topic `{topic}` is not there")))
        }
        Code::InvalidTopic if fixed => {
            DeliverError::Halted(because(format!("`{topic}` is no topic: {text}")))
        }
        Code::InvalidTopic
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::InvalidMessage
        | Code::PolicyViolation
        | Code::UnsupportedForMessageFormat => {
            DeliverError::Refused(because(format!("the brokers refuse the record: {text}")))
        }
        refused if is_refused(refused) => {
            DeliverError::Halted(because(format!("the brokers refuse us: {text}")))
        }
        Code::QueueFull => {
            DeliverError::Unavailable(because("too many bytes are on their way already".to_owned()))
        }
        Code::MessageTimedOut
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::SSL
        | Code::NetworkException
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::Fatal
        | Code::Fenced
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::ThrottlingQuotaExceeded => unreachable(&text, trouble),
        _ => DeliverError::Failed(because(text)),
    }
}

/// No broker took it; whether waiting will help depends on why.
fn unreachable(text: &str, trouble: Option<&Trouble>) -> DeliverError {
    match trouble {
        Some(Trouble { refused: true, said }) => {
            DeliverError::Halted(Failure::because(format!("the brokers refuse us: {said}")))
        }
        Some(Trouble { refused: false, said }) => {
            DeliverError::Unavailable(Failure::because(format!("no broker acknowledged the record: {said}")))
        }
        None => {
            DeliverError::Unavailable(Failure::because(format!("no broker acknowledged the record: {text}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use hook_core::testing::Judged;

    use super::*;

    #[test]
    fn every_outcome_is_judged() {
        let judged = |code, trouble: Option<bool>, fixed| {
            let trouble = trouble.map(|refused| Trouble { refused, said: "as it says".to_owned() });
            let error = judge(&KafkaError::MessageProduction(code), trouble.as_ref(), "orders", fixed);
            Judged::of(&Err(error))
        };
        for (code, expected) in [
            (Code::MessageTimedOut, Judged::Unavailable),
            (Code::QueueFull, Judged::Unavailable),
            (Code::NotEnoughReplicas, Judged::Unavailable),
            (Code::Fatal, Judged::Unavailable),
            (Code::MessageSizeTooLarge, Judged::Refused),
            (Code::InvalidRecord, Judged::Refused),
            (Code::PolicyViolation, Judged::Refused),
            (Code::SaslAuthenticationFailed, Judged::Halted),
            (Code::TopicAuthorizationFailed, Judged::Halted),
            (Code::ClusterAuthorizationFailed, Judged::Halted),
            (Code::Unknown, Judged::Failed),
            (Code::KafkaStorageError, Judged::Failed),
        ] {
            assert_eq!(judged(code, None, true), expected, "{code:?}");
        }
        for code in [Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::InvalidTopic] {
            assert_eq!(judged(code, None, true), Judged::Halted, "{code:?}");
            assert_eq!(judged(code, None, false), Judged::Refused, "{code:?}");
        }
        assert_eq!(judged(Code::MessageTimedOut, Some(true), true), Judged::Halted);
        assert_eq!(judged(Code::MessageTimedOut, Some(false), true), Judged::Unavailable);
    }
}
