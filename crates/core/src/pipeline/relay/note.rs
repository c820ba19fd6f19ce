//! The log lines of a relay.
//!
//! INVARIANT: reasons and places only; never a payload.

use hook_log::Position;

pub(super) fn given_up(bridge: &str, position: &Position, reason: &'static str, error: &str) {
    tracing::warn!(
        bridge,
        kafka_topic = %position.topic,
        %position,
        delivery_state = "dead_lettered",
        reason,
        error,
        "a record cannot be carried"
    );
}

pub(super) fn away(bridge: &str, reason: &str) {
    tracing::warn!(
        bridge,
        delivery_state = "unavailable",
        reason,
        "nothing is carried now; records wait where they are"
    );
}

pub(super) fn back(bridge: &str) {
    tracing::info!(bridge, delivery_state = "running", "records are carried again");
}

pub(super) fn carried(bridge: &str, records: usize) {
    tracing::debug!(bridge, records, delivery_state = "carried", "records were carried");
}

pub(super) fn revoked(bridge: &str, lanes: usize) {
    tracing::debug!(bridge, lanes, "lanes went to another member of the group");
}

pub(super) fn begun_again(bridge: &str, reason: &str) {
    tracing::warn!(bridge, reason, "reading begins again at what is settled");
}
