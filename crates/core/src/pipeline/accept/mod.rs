//! Accept: the left half of the pipeline, where a sender is waiting.
//!
//! | step | refused as |
//! |---|---|
//! | admit: the source exists, the peer's rate (before a body is read) | 404, 429 |
//! | preflight: what a provider asks before it sends anything | its handshake |
//! | verify: signature, token, time window, over the raw bytes | 401 |
//! | the source's rate, spent by verified requests only | 429 |
//! | handshake: what a provider asks by a signed request | its handshake |
//! | normalize: parse, name, split a batch | 400, 415 |
//! | duplicate: this delivery id is stored, or being stored | 200, 503 |
//! | cooldown: only where the contract asks for it | 200 `suppressed` |
//! | hooks of the ingress adapter, in order, fail closed | 403 |
//! | route: first match, no silent fallback | 422 |
//! | append: durable, then the claim is kept | 413, 503 |
//!
//! INVARIANT: [`Answer::Accepted`] is said only after the append returned, and a
//! refused request leaves no trace: its delivery ids are free again.
//!
//! A batch stands or falls together: one event that a hook denies or no route takes
//! refuses the request, so that its sender never has to guess which part arrived.

mod aside;
mod batch;
mod claim;
mod cooldown;
mod gate;
mod health;
mod hooks;
mod note;
mod origin;
mod rate;
mod route;
mod store;
mod trace;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use hook_event::{Clock, Entropy, EventId};
use hook_log::{Log, Topic};

pub use self::gate::AcceptorError;
use self::{
    batch::Batch,
    claim::Claim,
    gate::{Gate, rate},
    hooks::Hooks,
    note::Notes,
    origin::Origin,
    rate::PeerRate,
    store::{AFTER_TWIN, Ready, Store, unavailable},
};
use crate::{
    metrics::Metrics,
    plan::{Plan, ValidationMode},
    ports::{Accept, Answer, Claims, RawEvent, Readiness, Refusal, Refused, Reservation, claim_key},
    source::{Draft, Source},
};

/// Takes events from every ingress adapter of a plan and stores them.
pub struct Acceptor {
    gates: BTreeMap<String, Gate>,
    hooks: Hooks,
    peers: Option<PeerRate>,
    claims: Arc<dyn Claims>,
    store: Store,
    dead_letters: Topic,
    notes: Notes,
    clock: Clock,
    entropy: Entropy,
    profile: String,
    validation_mode: ValidationMode,
}

impl Acceptor {
    /// Joins a plan with its sources, a log and the claims on delivery ids.
    ///
    /// # Errors
    /// When a source is missing, a route's target is no topic, or a rate is zero.
    pub fn new(
        plan: &Plan,
        mut sources: BTreeMap<String, Source>,
        log: Arc<dyn Log>,
        claims: Arc<dyn Claims>,
        metrics: Arc<Metrics>,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, AcceptorError> {
        let mut gates = BTreeMap::new();
        for (name, settings) in &plan.sources {
            let source = sources.remove(name).ok_or_else(|| AcceptorError::MissingSource(name.clone()))?;
            gates.insert(name.clone(), Gate::new(name, settings, source, plan)?);
        }
        let notes = Notes(metrics);
        Ok(Self {
            gates,
            hooks: Hooks::of(&plan.ingress),
            peers: rate(plan.accept.peer_rate_per_minute)?.map(PeerRate::per_minute),
            claims,
            store: Store::new(log, plan.accept.append_timeout, clock, notes.clone()),
            dead_letters: plan.log.dead_letters.clone(),
            notes,
            clock,
            entropy,
            profile: plan.profile.clone(),
            validation_mode: plan.validation_mode,
        })
    }

    /// The steps, in order.
    async fn take(&self, raw: RawEvent) -> Result<Answer, Refusal> {
        let gate = self.gate(&raw.source)?;
        if let Some(handshake) = gate.source.preflight(&raw) {
            return handshake.map(Answer::Handshake);
        }
        let origin = Origin::of(&raw, self.entropy);
        let verified = gate.source.verify(raw, self.clock.now())?;
        gate.spend()?;
        if let Some(reply) = gate.source.handshake(&verified) {
            return Ok(Answer::Handshake(reply));
        }
        let mut batch = Batch::default();
        for draft in gate.source.normalize(verified)? {
            self.prepare(gate, &origin, draft, &mut batch).await?;
        }
        let stored = self.store.store(std::mem::take(&mut batch.ready)).await?;
        Ok(batch.answer(stored, gate.source.reply()))
    }

    /// One event of the request, up to the append.
    async fn prepare(
        &self,
        gate: &Gate,
        origin: &Origin,
        draft: Draft,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let id = EventId::new(origin.received_at, self.entropy);
        let claim = match self.claim(origin, draft.delivery_id.as_deref(), id, batch)? {
            Claimed::Free(claim) => claim,
            Claimed::Stored(first) => {
                batch.duplicate.get_or_insert(first);
                batch.ids.push(first);
                return Ok(());
            }
        };
        let cooldown = gate.cooldown(draft.subject.as_deref());
        if cooldown.as_ref().is_some_and(|cooldown| cooldown.is_warm(self.clock.now())) {
            batch.suppressed = true;
            return Ok(());
        }
        let mut event = self.hooks.ask(&origin.adapter, origin.event(id, draft)).await?;
        let Some((route, topic)) = gate.routes.find(&event.event_type) else {
            return Err(Refusal::Unroutable { source_name: event.source, event_type: event.event_type });
        };
        event.meta.route_key = Some(route.to_owned());
        batch.ids.push(id);
        batch.ready.push(Ready { event, topic: topic.clone(), claim, cooldown });
        Ok(())
    }

    fn gate(&self, source: &str) -> Result<&Gate, Refusal> {
        self.gates.get(source).ok_or_else(|| Refusal::UnknownSource(source.to_owned()))
    }

    /// Reserves the delivery id. An event without one is never a duplicate.
    fn claim(
        &self,
        origin: &Origin,
        delivery: Option<&str>,
        id: EventId,
        batch: &Batch,
    ) -> Result<Claimed, Refusal> {
        let Some(delivery) = delivery else { return Ok(Claimed::Free(None)) };
        let key = claim_key(&origin.source, delivery);
        match self.claims.reserve(&key, id, self.clock.now()) {
            Ok(Reservation::New) => Ok(Claimed::Free(Some(Claim::reserved(&self.claims, key, id)))),
            Ok(Reservation::Duplicate(first)) => Ok(Claimed::Stored(first)),
            // Held by an earlier event of this very request: the same event twice in a batch.
            Ok(Reservation::InFlight) => match batch.holder(&key) {
                Some(first) => Ok(Claimed::Stored(first)),
                // Not "duplicate" yet: if the twin fails, this one has to be sent again.
                None => Err(unavailable("another request with this delivery id is being stored", AFTER_TWIN)),
            },
            Err(error) => {
                self.store.health.passing(&error.to_string(), self.clock.now());
                Err(unavailable("what was stored before cannot be looked up", AFTER_TWIN))
            }
        }
    }
}

#[async_trait]
impl Accept for Acceptor {
    fn admit(&self, source: &str, peer: Option<IpAddr>) -> Result<(), Refusal> {
        // The rate comes first, so that guessing names is limited too.
        if let (Some(peers), Some(peer)) = (&self.peers, peer) {
            peers.check(peer)?;
        }
        self.gate(source).map(|_| ())
    }

    async fn accept(&self, raw: RawEvent) -> Result<Answer, Refusal> {
        let (source, adapter) = (raw.source.clone(), Arc::clone(&raw.adapter));
        let answer = self.take(raw).await;
        self.notes.answered(&source, &adapter, &answer);
        answer
    }

    async fn set_aside(&self, refused: Refused) -> Result<(), Refusal> {
        self.keep_letter(refused).await
    }

    fn readiness(&self) -> Readiness {
        let reason = self.store.health.trouble(self.clock.now());
        Readiness {
            ready: reason.is_none(),
            profile: self.profile.clone(),
            validation_mode: match self.validation_mode {
                ValidationMode::Strict => "strict".into(),
                ValidationMode::Debug => "debug".into(),
            },
            reason,
        }
    }
}

/// A delivery id, asked for.
enum Claimed {
    /// It is this event's now, or the event has none.
    Free(Option<Claim>),
    /// An event with it is stored, or will be together with this one.
    Stored(EventId),
}

#[cfg(test)]
mod tests;
