//! Whether the cluster can be reached, and what is known of why not.
//!
//! librdkafka tells its troubles on many threads and repeats them several times a
//! second. Here they become one sentence and two log lines: gone, and back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
    types::RDKafkaErrorCode,
};

/// What is known of the cluster.
#[derive(Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    /// Why the cluster cannot be reached, if so.
    trouble: Option<String>,
    /// What a client said last of its connections.
    said: Option<String>,
    /// Groups whose consumer stands still.
    stalled: Vec<String>,
}

/// What every client of this crate reports to.
#[derive(Clone)]
pub(crate) struct Context(pub(crate) std::sync::Arc<Health>);

impl Health {
    /// The cluster answered.
    pub(crate) fn reached(&self) {
        let mut state = self.lock();
        state.said = None;
        if let Some(reason) = state.trouble.take() {
            tracing::info!(%reason, "Kafka can be reached again");
        }
    }

    /// The cluster did not answer.
    pub(crate) fn unreachable(&self, error: &str) {
        let mut state = self.lock();
        let reason = state.said.clone().unwrap_or_else(|| error.to_owned());
        if state.trouble.is_none() {
            tracing::warn!(%reason, "Kafka cannot be reached");
        }
        state.trouble = Some(reason);
    }

    /// A client noted something about a connection.
    fn said(&self, reason: &str) {
        self.lock().said = Some(reason.to_owned());
    }

    /// The best that is known of a failure: what a client said of its connection, or
    /// else the error itself.
    pub(crate) fn reason(&self, error: &str) -> String {
        self.lock().said.clone().unwrap_or_else(|| error.to_owned())
    }

    /// A group's consumer stands still, or moves again.
    pub(crate) fn stalled(&self, group: &str, stalled: bool) {
        let mut state = self.lock();
        state.stalled.retain(|other| other != group);
        if stalled {
            state.stalled.push(group.to_owned());
        }
    }

    /// Why nothing can be stored or read now, if so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.lock();
        let stalled = || {
            let groups = state.stalled.join("`, `");
            (!groups.is_empty()).then(|| format!("the consumer of `{groups}` stands still"))
        };
        state.trouble.clone().or_else(stalled)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        // "All brokers down" says less than what was said of the last one.
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) | None => {}
            Some(_) => self.0.said(reason),
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_and_forgotten() {
        let health = Health::default();
        assert_eq!(health.trouble(), None);
        health.unreachable("timed out");
        assert_eq!(health.trouble().as_deref(), Some("timed out"));
        health.said("certificate verify failed");
        health.unreachable("timed out");
        assert_eq!(health.trouble().as_deref(), Some("certificate verify failed"));
        health.reached();
        assert_eq!(health.trouble(), None);
        health.stalled("one", true);
        health.stalled("one", true);
        assert_eq!(health.trouble().as_deref(), Some("the consumer of `one` stands still"));
        health.stalled("one", false);
        assert_eq!(health.trouble(), None);
    }
}
