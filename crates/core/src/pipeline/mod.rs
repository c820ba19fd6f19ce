//! The two halves of the pipeline, with the log between them.

pub mod accept;
pub mod deliver;
pub mod journal;
