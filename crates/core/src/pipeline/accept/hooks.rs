//! The hooks of each ingress adapter, asked before an event is stored.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hook_event::Event;
use hook_sdk::{Chain, Context, Denial, Point};

use crate::{plan::IngressPlan, ports::Refusal};

/// One chain per ingress adapter.
pub(super) struct Hooks(BTreeMap<Arc<str>, Chain>);

impl Hooks {
    pub(super) fn of(adapters: &[IngressPlan]) -> Self {
        let chain = |adapter: &IngressPlan| {
            let hooks = adapter.plugins.iter().map(Arc::clone);
            (Arc::clone(&adapter.id), hooks.fold(Chain::builder(), |chain, hook| chain.hook(hook)).build())
        };
        Self(adapters.iter().map(chain).collect())
    }

    /// The event as the adapter's hooks left it. An adapter that the profile does not
    /// have has no hooks to ask, so nothing comes in through it.
    pub(super) async fn ask(&self, adapter: &Arc<str>, event: Event) -> Result<Event, Refusal> {
        let Some(chain) = self.0.get(adapter) else {
            let reason = format!("the profile has no ingress adapter `{adapter}`");
            return Err(Refusal::Denied { hook: "ingress".into(), reason });
        };
        if chain.is_empty() {
            return Ok(event);
        }
        let context = Context { point: Point::Accept, adapter: adapter.to_string() };
        let outcome = chain.run(event.clone(), &context).await;
        if let Some(Denial { hook, reason }) = outcome.denied {
            return Err(Refusal::Denied { hook, reason });
        }
        keep_identity(event, outcome.event)
    }
}

/// A hook may change what an event says, not which event it is, who sent it, or how
/// it was verified: claims, routes and the ledger rely on those.
fn keep_identity(before: Event, mut after: Event) -> Result<Event, Refusal> {
    if after.payload != before.payload && !is_json(&after.payload) {
        let reason = "it left a payload that is not JSON".to_owned();
        return Err(Refusal::Denied { hook: "chain".into(), reason });
    }
    after.id = before.id;
    after.source = before.source;
    after.received_at = before.received_at;
    after.meta.trace_id = before.meta.trace_id;
    after.meta.ingress_adapter = before.meta.ingress_adapter;
    after.meta.delivery_id = before.meta.delivery_id;
    after.meta.verified_by = before.meta.verified_by;
    after.meta.redelivery = None;
    Ok(after)
}

/// The payload goes into the envelope as it is, so anything else would break it.
fn is_json(payload: &Bytes) -> bool {
    serde_json::from_slice::<&serde_json::value::RawValue>(payload).is_ok()
}
