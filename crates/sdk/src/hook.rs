//! The hook's port: code that may change or stop an event.
//!
//! - A hook is given the event as the hook before it left it, and answers with a
//!   verdict. It may wait, but not longer than its `timeout`.
//! - What a failure (an error, a panic, a timeout) means is the hook's own word:
//!   [`OnFailure::Closed`] stops the event, [`OnFailure::Open`] lets it pass, and
//!   either way it is recorded.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use hook_event::Event;
use serde::Serialize;

/// Code that may change or stop an event.
#[async_trait]
pub trait Hook: Send + Sync {
    /// The name under which its part is recorded.
    fn name(&self) -> &str;

    /// Its keys with all defaults, for `hook config show`; secrets by name only.
    fn settings(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Where it wants to be asked.
    fn points(&self) -> &[Point];

    /// What its failure means. Closed unless the hook says otherwise.
    fn on_failure(&self) -> OnFailure {
        OnFailure::Closed
    }

    /// How long it may take.
    fn timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Judges one event.
    async fn call(&self, event: &Event, context: &Context) -> Result<Verdict, HookError>;
}

/// Where in an event's life a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Before it is stored; a sender is waiting.
    Accept,
    /// Before it is delivered to one destination.
    Deliver,
}

/// What a hook's failure means for the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The event passes as if the hook had allowed it.
    Open,
    /// The event is stopped.
    Closed,
}

/// What a hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Go on with this event instead.
    Modify(Box<Event>),
    /// Stop, for this reason.
    Deny(String),
}

/// What a hook is told besides the event.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where it is asked.
    pub point: Point,
    /// The adapter through which the event came or is about to go.
    pub adapter: String,
}

/// Why a hook could not judge.
#[derive(Debug, PartialEq, Eq)]
pub struct HookError(pub String);

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HookError {}
