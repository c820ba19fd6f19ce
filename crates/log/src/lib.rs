//! The durable log.
//!
//! It knows bytes, not events: a record is a key and a value under a topic. The
//! port and its rules are in [`Log`]; every implementation passes the same
//! [`conformance`] suite.

pub mod conformance;
pub mod embedded;
pub mod forward;
#[doc(hidden)]
pub mod fuzz;
mod groups;
mod memory;
mod port;
pub mod sim;

pub use embedded::{EmbeddedLog, OpenError, Options, Retention, Stats, disk::RealDisk};
pub use memory::MemoryLog;
pub use port::{
    AppendError, Entry, Lane, LaneId, Log, Next, Position, ReadError, Record, Scan, Start, Subscription,
    Topic, TopicError, TopicInfo, TopicSet,
};

/// The clock as a log sees it: milliseconds since 1970, passed in.
pub type Now = std::sync::Arc<dyn Fn() -> u64 + Send + Sync>;
