//! The ingress as the pipeline's host sees it.

use std::sync::Arc;

use async_trait::async_trait;
use hook_core::{
    ports::{Accept, Ingress, RunError, Transport},
    source::Pick,
};
use hook_event::Clock;
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    lane::Taker,
    reader::{Plan, Reader},
};

/// Topics that are read.
pub(super) struct KafkaIngress {
    pub(super) adapter: Arc<str>,
    pub(super) source: Pick,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    pub(super) plan: Plan,
    pub(super) endpoint: String,
}

#[async_trait]
impl Ingress for KafkaIngress {
    async fn run(self: Box<Self>, accept: Arc<dyn Accept>, stop: CancellationToken) -> Result<(), RunError> {
        let Self { adapter, source, transport, clock, plan, endpoint } = *self;
        let taker = Taker { accept, adapter, source, transport, clock };
        let reader = Reader::new(plan, taker, Handle::current(), stop);
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("kafka-ingress".to_owned()).spawn(move || {
            reader.run();
            drop(end);
        });
        let thread = thread.map_err(|error| RunError(format!("cannot start reading {endpoint}: {error}")))?;
        // Nothing is ever sent: the thread's end closes it.
        let _ = ended.await;
        // It has ended, so this waits for nothing.
        thread.join().map_err(|_| RunError(format!("reading {endpoint} crashed")))
    }

    fn endpoint(&self) -> String {
        self.endpoint.clone()
    }
}
