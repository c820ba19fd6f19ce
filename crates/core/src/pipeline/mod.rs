//! The two halves of the pipeline, with the log between them, and the relay from log to log.

pub mod accept;
mod backoff;
pub mod deliver;
pub mod journal;
pub mod relay;
