//! Stored events, and each one's whole life.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use hook_core::{glob::Glob, pipeline::deliver::opinions};
use hook_event::{Clock, Entropy, Event, EventId};
use hook_ledger::EventRow;
use hook_log::{Position, Start, Subscription, TopicSet};
use http::header::CONTENT_TYPE;

use crate::admin::{
    Operations, Refused,
    lookup::{self, Found},
    stream::{self, Lines},
    wire::{EventLine, EventQuery, Fate, Life, Routed, WhenFailed},
};

const LISTED: usize = 50;
const MOST: usize = 10_000;

pub(super) async fn list(
    State(operations): State<Arc<Operations>>,
    Query(query): Query<EventQuery>,
) -> Result<Json<Vec<EventLine>>, Refused> {
    let query = hook_ledger::EventQuery {
        source: query.source.as_deref().map(Glob::new),
        event_type: query.event_type.as_deref().map(Glob::new),
        since: query.since,
        until: query.until,
        limit: Some(query.limit.unwrap_or(LISTED).min(MOST)),
        ..hook_ledger::EventQuery::default()
    };
    Ok(Json(operations.ledger.events(&query)?.into_iter().map(line).collect()))
}

pub(super) async fn show(
    State(operations): State<Arc<Operations>>,
    Path(id): Path<EventId>,
) -> Result<Json<Life>, Refused> {
    let Found { position, event, indexed } = find(&operations, id).await?;
    let (routes, when_failed) = routes(&operations, &position, &event);
    Ok(Json(Life {
        id,
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        received_at: event.received_at,
        payload_bytes: event.payload.len(),
        routes,
        when_failed,
        position: position.to_string(),
        indexed,
        attempts: operations.ledger.attempts(id)?,
        dead_letters: operations.dead_letters_of(id)?,
        meta: event.meta,
    }))
}

pub(super) async fn payload(
    State(operations): State<Arc<Operations>>,
    Path(id): Path<EventId>,
) -> Result<Response, Refused> {
    let found = find(&operations, id).await?;
    Ok(([(CONTENT_TYPE, "application/json")], found.event.payload).into_response())
}

pub(super) async fn tail(
    State(operations): State<Arc<Operations>>,
    Query(query): Query<EventQuery>,
) -> Result<Response, Refused> {
    let topics = TopicSet::matching(operations.event_topics());
    let reader = EventId::new(Clock::SYSTEM.now(), Entropy::SYSTEM);
    let group = format!("hook.tail.{reader}");
    let subscription = operations.log.subscribe(&group, topics, Start::Now).await?;
    // It reads on, and leaves nothing behind.
    operations.log.forget(&group).await?;
    Ok(stream::response(|lines: Lines| async move {
        tokio::select! {
            () = follow(subscription, &query, &lines) => {}
            () = lines.gone() => {}
            () = operations.stopped() => {}
        }
    }))
}

/// Writes what is stored and fits, as long as somebody reads.
async fn follow(mut subscription: Box<dyn Subscription>, query: &EventQuery, lines: &Lines) {
    let event_type = query.event_type.as_deref().map(Glob::new);
    while let Ok(batch) = subscription.next(64).await {
        for (position, event) in batch.entries().into_iter().filter_map(lookup::decode) {
            let source_fits = query.source.as_ref().is_none_or(|source| *source == event.source);
            let fits = source_fits && event_type.as_ref().is_none_or(|glob| glob.matches(&event.event_type));
            if fits && lines.write(&stored(&position, &event)).await.is_err() {
                return;
            }
        }
    }
}

async fn find(operations: &Operations, id: EventId) -> Result<Found, Refused> {
    lookup::find(operations.log.as_ref(), &operations.ledger, operations.event_topics(), id).await
}

/// The routes that want it, and those whose condition fails on it.
fn routes(operations: &Operations, position: &Position, event: &Event) -> (Vec<Routed>, Vec<WhenFailed>) {
    let plan = operations.plan();
    let (mut routed, mut when_failed) = (Vec::new(), Vec::new());
    for destination in &plan.destinations {
        let adapter = || destination.id.to_string();
        for (route, wants) in opinions(&destination.routes, &plan.log.dead_letters, &position.topic, event) {
            let route = route.id.clone();
            match wants {
                Ok(true) => routed.push(Routed { adapter: adapter(), route }),
                Ok(false) => {}
                Err(error) => {
                    when_failed.push(WhenFailed { adapter: adapter(), route, error: error.to_string() });
                }
            }
        }
    }
    (routed, when_failed)
}

fn line(row: EventRow) -> EventLine {
    EventLine {
        id: row.id,
        source: row.source,
        event_type: row.event_type,
        received_at: row.received_at,
        subject: row.subject,
        position: row.position.to_string(),
        fate: row.fates.into_iter().map(fate).collect(),
    }
}

fn fate(fate: hook_ledger::Fate) -> Fate {
    Fate { adapter: fate.adapter, outcome: fate.outcome.as_str().to_owned(), attempts: fate.attempts }
}

fn stored(position: &Position, event: &Event) -> EventLine {
    EventLine {
        id: event.id,
        source: event.source.clone(),
        event_type: event.event_type.clone(),
        received_at: event.received_at,
        subject: event.meta.subject.clone(),
        position: position.to_string(),
        fate: Vec::new(),
    }
}
