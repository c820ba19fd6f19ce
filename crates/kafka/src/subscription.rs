//! A group's place in its topics, as the port has it: the reader's side of a [`Member`].

use std::sync::Arc;

use async_trait::async_trait;
use hook_log::{LaneId, Next, Position, ReadError, Subscription};

use crate::{member::Member, place::Step};

/// The reader's side.
pub(crate) struct KafkaSubscription(pub(crate) Arc<Member>);

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        loop {
            let (step, closing) = {
                let mut place = self.0.place();
                (place.step(max), place.closing)
            };
            self.0.answered();
            match step {
                Some(Step::Entries(entries)) => return Ok(Next::Entries(entries)),
                Some(Step::Failed(failure)) => return Err(failure),
                Some(Step::Revoked(lanes)) => {
                    tracing::debug!(group = %self.0.group, lanes = lanes.len(), "lanes go to another member");
                    let lanes = lanes.into_iter().map(|(topic, lane)| LaneId { topic, lane });
                    return Ok(Next::Revoked(lanes.collect()));
                }
                None if closing => return Err(ReadError::Closed),
                None => self.0.readable().await,
            }
        }
    }

    async fn commit(&mut self, position: &Position) -> Result<(), ReadError> {
        let mut place = self.0.place();
        if place.closing {
            return Err(ReadError::Closed);
        }
        place.settle(position);
        Ok(())
    }
}

/// Leaves the group, in the background.
impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.0.close();
    }
}
