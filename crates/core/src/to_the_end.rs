//! A future that is seen through, whoever stops waiting for it.
//!
//! It runs in the task that awaits it, so in the usual case it costs no task of its
//! own. When that task gives up (a time-out, a sender that hung up), what is left of
//! it goes on in a task of its own.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Awaits `future`; dropped before it is done, it goes on without its owner.
pub fn to_the_end<F>(future: F) -> ToTheEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    ToTheEnd(Some(Box::pin(future)))
}

/// See [`to_the_end`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct ToTheEnd<F>(Option<Pin<Box<F>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F> Future for ToTheEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that one that panics is not run again.
        let Some(mut future) = self.0.take() else { return Poll::Pending };
        let polled = future.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(future);
        }
        polled
    }
}

impl<F> Drop for ToTheEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the process is at its end.
        if let (Some(future), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn its_result_is_had_by_who_waits() {
        assert_eq!(to_the_end(async { 7 }).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_when_nobody_waits_any_more() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let work = to_the_end(async move {
            wait.await.unwrap();
            done.send(()).unwrap();
        });
        assert!(timeout(Duration::from_millis(1), work).await.is_err());
        go.send(()).unwrap();
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn one_that_panics_is_over() {
        let (sent, seen) = oneshot::channel::<()>();
        let work = tokio::spawn(to_the_end(async move {
            let _sent = sent;
            panic!("on purpose");
        }));
        assert!(work.await.unwrap_err().is_panic());
        assert!(seen.await.is_err(), "it ran again");
    }
}
