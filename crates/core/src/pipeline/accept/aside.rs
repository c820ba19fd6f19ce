//! What was refused and has no sender who could be told: it becomes a dead letter.
//!
//! An HTTP sender hears why and sends again. A record of a topic has nobody behind it,
//! so the reason is kept with its bytes and its position, and the topic goes on.

use std::time::Duration;

use hook_event::DeadLetter;
use hook_log::{AppendError, Record, Topic};

use super::{Acceptor, note, store::unavailable};
use crate::ports::{Refusal, Refused};

/// When to come back if the log did not take the letter.
const AGAIN: Duration = Duration::from_secs(1);

impl Acceptor {
    /// Returns when the letter is durable.
    pub(super) async fn keep_letter(&self, refused: Refused) -> Result<(), Refusal> {
        let Refused { adapter, position, topic, body, refusal } = refused;
        let letter = DeadLetter {
            adapter: None,
            event_id: None,
            failed_at: self.clock.now(),
            error: format!("the ingress adapter `{adapter}` brought it and it was refused: {refusal}"),
            reason: note::reason(&refusal).to_owned(),
            attempts: 0,
            status: None,
            position,
            envelope: body,
        };
        match self.append_letter(&letter).await {
            Ok(()) => {
                self.notes.0.dead_letter(&topic);
                tracing::warn!(
                    ingress_adapter = %adapter,
                    position = letter.position,
                    reason = letter.reason,
                    delivery_state = "dead_letter",
                    "what was refused was set aside"
                );
                Ok(())
            }
            Err(error) => {
                self.notes.not_stored(&self.dead_letters, &error);
                Err(unavailable("the dead letter could not be stored", AGAIN))
            }
        }
    }

    async fn append_letter(&self, letter: &DeadLetter) -> Result<(), AppendError> {
        match append(self, letter).await {
            Err(AppendError::TooLarge { .. }) => {
                let error = format!("{} (too large to be copied here, see its position)", letter.error);
                let slim = DeadLetter { envelope: bytes::Bytes::new(), error, ..letter.clone() };
                append(self, &slim).await
            }
            done => done,
        }
    }
}

async fn append(acceptor: &Acceptor, letter: &DeadLetter) -> Result<(), AppendError> {
    let topic: &Topic = &acceptor.dead_letters;
    let record = Record { key: letter.position.clone().into(), value: letter.encode() };
    let appended =
        tokio::time::timeout(acceptor.store.timeout, acceptor.store.log.append(topic, vec![record]));
    let late =
        || AppendError::Unavailable { reason: "the log did not answer in time".to_owned(), after: None };
    // A late success is a second letter when it is tried again, and no lost one.
    appended.await.map_err(|_elapsed| late())?.map(drop)
}
