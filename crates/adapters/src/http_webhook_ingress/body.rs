//! Reading a body whole, or not at all.
//!
//! Three limits: bytes (also without a `Content-Length`), time for the whole of it,
//! and the memory that all bodies take together, because many senders within their
//! limit are as heavy as one beyond it.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What all bodies may take at once, unless one alone may take more.
const BUDGET_BYTES: usize = 256 << 20;
/// The budget is counted in blocks, so that it fits a semaphore's permits.
const BLOCK_BYTES: usize = 1 << 10;
/// After a refusal, what is still read so that the sender gets to see the answer.
const DRAIN_BYTES: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Reads bodies within their limits.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    /// Bytes of one body.
    pub(super) limit: usize,
    /// Time for the whole of one body.
    time: Duration,
    budget: Budget,
}

/// The memory that bodies may take together.
#[derive(Clone, Debug)]
struct Budget(Arc<Semaphore>);

/// A body, and the memory that it holds until it is dropped.
pub(super) struct Held {
    /// The body, byte for byte.
    pub(super) bytes: Bytes,
    /// Given back when the request is done.
    pub(super) permits: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// Not complete in time.
    Slow,
    /// The sender went away or broke the framing.
    Broken,
    /// Other bodies take all memory that there is.
    Busy,
}

impl Bodies {
    pub(super) fn new(limit: usize, time: Duration) -> Self {
        let blocks = BUDGET_BYTES.max(limit) / BLOCK_BYTES + 1;
        let budget = Budget(Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS))));
        Self { limit, time, budget }
    }

    /// Reads a body whole.
    ///
    /// `announced` is the request's `Content-Length`: too large by its own word, it is
    /// refused before a byte is taken.
    pub(super) async fn read<B>(&self, mut body: B, announced: Option<u64>) -> Result<Held, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > self.limit))
        {
            return Err(BodyError::TooLarge);
        }
        let read = timeout(self.time, self.collect(&mut body)).await.unwrap_or(Err(BodyError::Slow));
        if matches!(read, Err(BodyError::TooLarge | BodyError::Busy)) {
            drain(&mut body).await;
        }
        read
    }

    async fn collect<B>(&self, body: &mut B) -> Result<Held, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut permits = None;
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            let have = first.len() + all.len();
            let need = have + data.len();
            if need > self.limit {
                return Err(BodyError::TooLarge);
            }
            self.budget.grow(&mut permits, have, need)?;
            if have == 0 {
                // Most bodies are one frame, which is passed on without a copy.
                first = data;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
        let bytes = if all.is_empty() { first } else { all.freeze() };
        Ok(Held { bytes, permits })
    }
}

impl Budget {
    /// Takes what growing from `have` to `need` bytes costs.
    fn grow(
        &self,
        held: &mut Option<OwnedSemaphorePermit>,
        have: usize,
        need: usize,
    ) -> Result<(), BodyError> {
        let blocks = need.div_ceil(BLOCK_BYTES) - have.div_ceil(BLOCK_BYTES);
        let blocks = u32::try_from(blocks).map_err(|_| BodyError::Busy)?;
        let more = self.0.clone().try_acquire_many_owned(blocks).map_err(|_| BodyError::Busy)?;
        match held {
            Some(permits) => permits.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }
}

/// A connection closed on unread bytes is reset, and a reset can overtake the answer.
async fn drain<B>(body: &mut B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let rest = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(after) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            left = after;
        }
    };
    // Whether it ended or ran out of time, the answer is sent now.
    let _ = timeout(DRAIN_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, task::Poll};

    use hyper::body::Frame;

    use super::*;

    /// Gives its chunks and then ends, or hangs for ever.
    struct Chunks {
        left: VecDeque<Bytes>,
        hangs: bool,
    }

    impl Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.left.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None if self.hangs => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn chunks(sizes: &[usize], hangs: bool) -> Chunks {
        Chunks { left: sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect(), hangs }
    }

    async fn check(body: Chunks, announced: Option<u64>, limit: usize, expect: Result<usize, BodyError>) {
        let read = Bodies::new(limit, Duration::from_secs(30)).read(body, announced).await;
        assert_eq!(read.map(|held| held.bytes.len()), expect);
    }

    #[tokio::test(start_paused = true)]
    async fn whole_or_not_at_all() {
        check(chunks(&[], false), None, 10, Ok(0)).await;
        check(chunks(&[10], false), Some(10), 10, Ok(10)).await;
        check(chunks(&[4, 0, 6], false), None, 10, Ok(10)).await;
        check(chunks(&[4, 7], false), None, 10, Err(BodyError::TooLarge)).await;
        check(chunks(&[11], false), None, 10, Err(BodyError::TooLarge)).await;
        check(chunks(&[], true), Some(11), 10, Err(BodyError::TooLarge)).await;
        check(chunks(&[], true), Some(u64::MAX), 10, Err(BodyError::TooLarge)).await;
        check(chunks(&[4], true), Some(10), 10, Err(BodyError::Slow)).await;
        check(chunks(&[4, 7], true), None, 10, Err(BodyError::TooLarge)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_a_refusal_is_read_within_reason() {
        let bodies = Bodies::new(10, Duration::from_secs(30));
        let left = async |sizes: &[usize], hangs| {
            let mut body = chunks(sizes, hangs);
            assert_eq!(bodies.read(&mut body, None).await.err(), Some(BodyError::TooLarge));
            body.left.len()
        };
        assert_eq!(left(&[11, 4000, 4000], false).await, 0);
        assert_eq!(left(&[11, 4000], true).await, 0);
        assert_eq!(left(&[11, DRAIN_BYTES, 1, 1], false).await, 1);
    }

    #[tokio::test]
    async fn all_bodies_together_have_a_limit_and_give_back() {
        let budget = Budget(Arc::new(Semaphore::new(4)));
        let bodies = Bodies { budget: budget.clone(), ..Bodies::new(1 << 20, Duration::from_secs(30)) };
        let read = |size| bodies.read(chunks(&[size], false), None);
        let held = read(3000).await.ok();
        assert_eq!(read(2000).await.err(), Some(BodyError::Busy));
        drop(held);
        assert!(read(4096).await.is_ok());
        assert_eq!(budget.0.available_permits(), 4);
    }
}
