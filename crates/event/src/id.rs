//! The event's name for life: a UUID version 7 (RFC 9562), so ids sort by the
//! time of receipt and a log can be searched by the time inside an id.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Entropy;

/// The stable id that every delivery of an event carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id for an event received `at`.
    pub fn new(at: Timestamp, entropy: Entropy) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &entropy.bytes()).into_uuid())
    }

    /// The time of receipt, to the millisecond, if the id carries one.
    pub fn time(self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
    }

    /// The sixteen bytes, for an index.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// An id from its sixteen bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_the_time_of_receipt() {
        let at = Timestamp::from_millisecond(1_753_000_000_123).unwrap();
        let id = EventId::new(at, Entropy::SYSTEM);
        assert_eq!(id.time(), Some(at));
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
    }

    #[test]
    fn ids_sort_by_time() {
        let early = EventId::new(Timestamp::from_millisecond(1_000).unwrap(), Entropy::SYSTEM);
        let late = EventId::new(Timestamp::from_millisecond(2_000).unwrap(), Entropy::SYSTEM);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }
}
