//! What librdkafka says, as the port says it.

use std::time::Duration;

use hook_log::{AppendError, ReadError};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

/// When to try again if Kafka did not say.
pub(crate) const AGAIN: Duration = Duration::from_secs(2);

/// An append that cannot be done now.
pub(crate) fn unavailable(reason: impl Into<String>) -> AppendError {
    AppendError::Unavailable { reason: reason.into(), after: Some(AGAIN) }
}

/// A read that failed; most pass.
pub(crate) fn read(error: &KafkaError) -> ReadError {
    ReadError::Unavailable(text(error))
}

/// What happened, without the words that all of librdkafka's errors share.
pub(crate) fn text(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(code) => code.to_string(),
        None => error.to_string(),
    }
}

/// Whether the topic is not there, as far as a client can tell.
pub(crate) fn is_missing_topic(error: &KafkaError) -> bool {
    use Code::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(error.rdkafka_error_code(), Some(UnknownTopic | UnknownTopicOrPartition | UnknownPartition))
}

/// Whether the record, or the batch it travelled in, was too large.
pub(crate) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge)
    )
}

/// Whether the record will never be taken as it is.
pub(crate) fn is_refused(error: &KafkaError) -> bool {
    use Code::{InvalidRecord, InvalidTimestamp, PolicyViolation, UnsupportedForMessageFormat};
    matches!(
        error.rdkafka_error_code(),
        Some(InvalidRecord | InvalidTimestamp | PolicyViolation | UnsupportedForMessageFormat)
    )
}

/// Whether the client can never work again and another must take its place.
pub(crate) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(error.rdkafka_error_code(), Some(Code::Fatal | Code::Fenced | Code::ProducerFenced))
}

/// Whether this is about a connection, which librdkafka makes again by itself.
pub(crate) fn is_transport(error: &KafkaError) -> bool {
    use Code::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, RequestTimedOut, Resolve};
    matches!(
        error.rdkafka_error_code(),
        Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | RequestTimedOut | Resolve)
    )
}

/// Whether the group's coordinator is just moving or starting.
pub(crate) fn is_coordinator_moving(error: &KafkaError) -> bool {
    use Code::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator, WaitingForCoordinator};
    matches!(
        error.rdkafka_error_code(),
        Some(CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator | WaitingForCoordinator)
    )
}

/// Whether this member is no longer one, so that what it settled is for others to do again.
pub(crate) fn is_lost_membership(error: &KafkaError) -> bool {
    use Code::{FencedInstanceId, FencedMemberEpoch, IllegalGeneration, StaleMemberEpoch, UnknownMemberId};
    matches!(
        error.rdkafka_error_code(),
        Some(FencedInstanceId | FencedMemberEpoch | IllegalGeneration | StaleMemberEpoch | UnknownMemberId)
    )
}
