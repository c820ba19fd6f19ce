//! Subscriptions and scans of the embedded log.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{reader::Feed, shared::Shared};
use crate::port::{Entry, Next, Position, ReadError, Scan, Subscription, TopicSet};

/// A group's feeds, one for each of its topics.
pub(crate) struct GroupReader {
    shared: Arc<Shared>,
    changed: watch::Receiver<()>,
    group: String,
    topics: TopicSet,
    feeds: Vec<Feed>,
    /// How many of the log's topics were asked about.
    discovered: usize,
    /// Which feed is served next.
    turn: usize,
}

impl GroupReader {
    pub(crate) fn new(shared: Arc<Shared>, group: String, topics: TopicSet) -> Self {
        let changed = shared.changed.subscribe();
        let mut reader = Self { shared, changed, group, topics, feeds: Vec::new(), discovered: 0, turn: 0 };
        // Now, so that it knows its places whatever becomes of the group.
        reader.discover();
        reader
    }

    fn discover(&mut self) {
        let young = self.shared.lanes_after(self.discovered);
        self.discovered += young.len();
        for lane in young.into_iter().filter(|lane| self.topics.contains(&lane.topic)) {
            // INVARIANT: never beyond the end, or records yet to come are skipped.
            let next = self.shared.groups().enter(&self.group, &lane.topic).min(lane.end());
            self.feeds.push(Feed::new(Arc::clone(&self.shared.disk), lane, next, u64::MAX));
        }
    }

    /// Entries of the first feed that has some, each in turn. A feed that cannot be
    /// read is passed over, and its error told when no other has any.
    async fn take(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        let mut failure = None;
        for _ in 0..self.feeds.len() {
            let turn = self.turn % self.feeds.len();
            let taken = self.feeds[turn].take(max).await;
            self.turn = turn + 1;
            match taken {
                Ok(entries) if !entries.is_empty() => return Ok(entries),
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(Vec::new()), Err)
    }
}

#[async_trait]
impl Subscription for GroupReader {
    async fn next(&mut self, max: usize) -> Result<Next, ReadError> {
        loop {
            self.shared.check_open()?;
            self.changed.borrow_and_update();
            self.discover();
            let entries = self.take(max).await?;
            if !entries.is_empty() {
                return Ok(Next::Entries(entries));
            }
            self.changed.changed().await.map_err(|_| ReadError::Closed)?;
        }
    }

    async fn commit(&mut self, position: &Position) -> Result<(), ReadError> {
        self.shared.check_open()?;
        self.shared.lane(&position.topic)?;
        self.shared.groups().commit(&self.group, position);
        self.shared.touch();
        Ok(())
    }
}

/// A walk over one topic, up to where it ended.
pub(crate) struct LaneScan(pub(crate) Feed);

#[async_trait]
impl Scan for LaneScan {
    async fn next(&mut self, max: usize) -> Result<Vec<Entry>, ReadError> {
        self.0.take(max).await
    }
}
