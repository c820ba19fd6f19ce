//! The chain: every hook of a point, in the order in which they were added.
//!
//! Each hook sees the event as the one before left it. The first denial ends the
//! chain. A panic or a timeout is a failure of that hook and of nothing else.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use hook_event::Event;
use serde::Serialize;

use crate::{Context, Hook, HookError, OnFailure, Verdict};

/// Hooks in order.
#[derive(Clone, Default)]
pub struct Chain {
    hooks: Arc<[Arc<dyn Hook>]>,
}

/// Collects the hooks of a [`Chain`].
#[derive(Default)]
pub struct ChainBuilder {
    hooks: Vec<Arc<dyn Hook>>,
}

/// What came of a chain.
#[derive(Debug)]
pub struct Outcome {
    /// The event as the last hook left it.
    pub event: Event,
    /// Why it was stopped, if it was.
    pub denied: Option<Denial>,
    /// Each hook's part, in order.
    pub steps: Vec<Step>,
}

/// Who stopped an event, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The hook's name.
    pub hook: String,
    /// Its reason, for a person.
    pub reason: String,
}

/// One hook's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The hook's name.
    pub hook: String,
    /// `allow`, `modify`, `deny` or `failed`.
    pub verdict: &'static str,
    /// The reason of a denial or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Chain {
    /// An empty builder.
    pub fn builder() -> ChainBuilder {
        ChainBuilder::default()
    }

    /// Whether no hook would be asked.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Asks every hook of the context's point.
    pub async fn run(&self, event: Event, context: &Context) -> Outcome {
        let mut outcome = Outcome { event, denied: None, steps: Vec::new() };
        for hook in self.hooks.iter().filter(|hook| hook.points().contains(&context.point)) {
            match call(hook.as_ref(), &outcome.event, context).await {
                Ok(Verdict::Allow) => outcome.note(hook.name(), "allow", None),
                Ok(Verdict::Modify(event)) => {
                    outcome.event = *event;
                    outcome.note(hook.name(), "modify", None);
                }
                Ok(Verdict::Deny(reason)) => return outcome.deny(hook.name(), "deny", reason),
                Err(error) if hook.on_failure() == OnFailure::Closed => {
                    return outcome.deny(hook.name(), "failed", error.0);
                }
                Err(error) => outcome.note(hook.name(), "failed", Some(error.0)),
            }
        }
        outcome
    }
}

impl ChainBuilder {
    /// Adds a hook after those already added.
    pub fn hook(mut self, hook: Arc<dyn Hook>) -> Self {
        self.hooks.push(hook);
        self
    }

    /// The finished chain.
    pub fn build(self) -> Chain {
        Chain { hooks: self.hooks.into() }
    }
}

impl Outcome {
    fn note(&mut self, hook: &str, verdict: &'static str, reason: Option<String>) {
        self.steps.push(Step { hook: hook.to_owned(), verdict, reason });
    }

    fn deny(mut self, hook: &str, verdict: &'static str, reason: String) -> Self {
        self.note(hook, verdict, Some(reason.clone()));
        self.denied = Some(Denial { hook: hook.to_owned(), reason });
        self
    }
}

async fn call(hook: &dyn Hook, event: &Event, context: &Context) -> Result<Verdict, HookError> {
    let verdict = AssertUnwindSafe(hook.call(event, context)).catch_unwind();
    match tokio::time::timeout(hook.timeout(), verdict).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(_panic)) => Err(HookError("the hook panicked".into())),
        Err(_elapsed) => Err(HookError(format!("no answer within {:?}", hook.timeout()))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use bytes::Bytes;
    use hook_event::{Entropy, EventId, Meta};
    use jiff::Timestamp;

    use super::*;
    use crate::Point;

    type Body = fn(&Event) -> Result<Verdict, HookError>;

    struct Fake(&'static str, OnFailure, Body);

    #[async_trait]
    impl Hook for Fake {
        fn name(&self) -> &str {
            self.0
        }
        fn points(&self) -> &[Point] {
            &[Point::Accept]
        }
        fn on_failure(&self) -> OnFailure {
            self.1
        }
        fn timeout(&self) -> Duration {
            Duration::from_secs(1)
        }
        async fn call(&self, event: &Event, _: &Context) -> Result<Verdict, HookError> {
            if self.0 == "hangs" {
                std::future::pending::<()>().await;
            }
            (self.2)(event)
        }
    }

    fn event() -> Event {
        let received_at = Timestamp::UNIX_EPOCH;
        Event {
            id: EventId::new(received_at, Entropy::SYSTEM),
            source: "github".into(),
            event_type: "push".into(),
            received_at,
            meta: Meta::default(),
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn rename(event: &Event) -> Result<Verdict, HookError> {
        let mut event = event.clone();
        event.event_type.push('!');
        Ok(Verdict::Modify(Box::new(event)))
    }

    async fn run(hooks: Vec<Fake>) -> (String, Option<String>, Vec<&'static str>) {
        let chain = hooks.into_iter().fold(Chain::builder(), |b, hook| b.hook(Arc::new(hook))).build();
        let context = Context { point: Point::Accept, adapter: "in".into() };
        let outcome = chain.run(event(), &context).await;
        let verdicts = outcome.steps.iter().map(|step| step.verdict).collect();
        (outcome.event.event_type, outcome.denied.map(|denied| denied.reason), verdicts)
    }

    #[tokio::test(start_paused = true)]
    async fn each_hook_sees_what_the_one_before_left() {
        let hooks = vec![Fake("a", OnFailure::Closed, rename), Fake("b", OnFailure::Closed, rename)];
        assert_eq!(run(hooks).await, ("push!!".into(), None, vec!["modify", "modify"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_ends_the_chain() {
        let deny: Body = |_| Ok(Verdict::Deny("no".into()));
        let hooks = vec![Fake("a", OnFailure::Open, deny), Fake("b", OnFailure::Closed, rename)];
        assert_eq!(run(hooks).await, ("push".into(), Some("no".into()), vec!["deny"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_hook_that_fails_stops_the_event_and_an_open_one_does_not() {
        let fail: Body = |_| Err(HookError("broken".into()));
        assert_eq!(run(vec![Fake("a", OnFailure::Closed, fail)]).await.1, Some("broken".into()));
        assert_eq!(run(vec![Fake("a", OnFailure::Open, fail)]).await.1, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_are_failures_of_that_hook() {
        let panic: Body = |_| panic!("boom");
        assert_eq!(run(vec![Fake("a", OnFailure::Closed, panic)]).await.1, Some("the hook panicked".into()));
        let hangs = Fake("hangs", OnFailure::Closed, rename);
        assert_eq!(run(vec![hangs]).await.1, Some("no answer within 1s".into()));
    }
}
