//! The durable log.
//!
//! It knows bytes, not events: a record is a key and a value under a topic. The
//! port and its rules are in [`port`]; every implementation passes the same
//! conformance suite.

mod port;

pub use port::{
    AppendError, Entry, Lane, Log, Position, ReadError, Record, Scan, Start, Subscription, Topic, TopicError,
    TopicInfo, TopicSet,
};
