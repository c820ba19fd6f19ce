//! Long work, told line by line: newline-delimited JSON.

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::sync::mpsc;

/// The side that writes lines. Writing fails once the reader has gone.
pub(super) struct Lines(mpsc::Sender<Result<Bytes, std::convert::Infallible>>);

/// The reader went away.
#[derive(Debug)]
pub(super) struct Gone;

impl Lines {
    /// Resolves when the reader has gone.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }

    /// Writes one line.
    pub(super) async fn write(&self, value: &impl Serialize) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(value).map_err(|_| Gone)?;
        line.push(b'\n');
        self.0.send(Ok(line.into())).await.map_err(|_| Gone)
    }
}

/// A response whose lines `work` writes; the work ends when its reader goes.
pub(super) fn response<F>(work: impl FnOnce(Lines) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(work(Lines(sender)));
    let lines = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|line| (line, receiver))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// Lets at most `rate` a second pass; none is unlimited.
pub(super) struct Pace(Option<tokio::time::Interval>);

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        let interval = rate.filter(|&rate| rate > 0).map(|rate| Duration::from_secs(1) / rate);
        Self(interval.map(tokio::time::interval))
    }

    /// The pace of a replay; a dry run sends nothing, so it has none to keep.
    pub(super) fn of_replay(rate: Option<u32>, dry_run: bool) -> Self {
        Self::new(rate.filter(|_| !dry_run))
    }

    pub(super) async fn next(&mut self) {
        if let Some(interval) = &mut self.0 {
            interval.tick().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_sent_keeps_a_pace() {
        for (rate, dry_run, millis) in [
            (None, false, 0),
            (Some(0), false, 0),
            (Some(4), false, 500),
            (Some(4), true, 0),
            (None, true, 0),
        ] {
            let (mut pace, since) = (Pace::of_replay(rate, dry_run), Instant::now());
            for _ in 0..3 {
                pace.next().await;
            }
            assert_eq!(since.elapsed(), Duration::from_millis(millis), "{rate:?}, dry run: {dry_run}");
        }
    }
}
