//! What an event is.
//!
//! The stored form ([`Event::encode`]) is the *envelope*: one JSON object whose
//! `payload` is exactly the bytes that were sent. Nothing here does I/O, knows a
//! transport or spawns a task, so this crate can be embedded anywhere.

mod clock;
pub mod cloudevents;
mod dead_letter;
mod event;
mod id;
pub mod standard_webhooks;
pub mod trace;

pub use clock::{Clock, Entropy};
pub use dead_letter::DeadLetter;
pub use event::{DecodeError, Event, Meta, Redelivery};
pub use id::EventId;
