//! Dead letters: listed, shown, sent again, purged.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    response::Response,
};
use hook_core::pipeline::deliver::redeliver;
use hook_event::{Clock, DeadLetter, Event, EventId};
use hook_ledger::{DeadLetterRow, Mark};
use hook_log::Position;
use serde::Deserialize;

use crate::admin::{
    Operations, Refused,
    stream::{self, Lines, Pace},
    wire::{DeadLetterLine, DeadLetterQuery, DeadLetterView, Progress},
};

#[derive(Deserialize)]
pub(super) struct Which {
    which: String,
}

pub(super) async fn list(
    State(operations): State<Arc<Operations>>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<Vec<DeadLetterLine>>, Refused> {
    let rows = operations.ledger.dead_letters(&asked(&query))?;
    Ok(Json(rows.into_iter().map(|row| line(&operations, row)).collect()))
}

pub(super) async fn show(
    State(operations): State<Arc<Operations>>,
    Query(Which { which }): Query<Which>,
) -> Result<Json<DeadLetterView>, Refused> {
    let mut query = hook_ledger::DeadLetterQuery { purged: true, ..hook_ledger::DeadLetterQuery::default() };
    let position: Option<Position> = which.parse().ok();
    if position.is_none() {
        let id: Result<EventId, _> = which.parse();
        query.event = Some(id.map_err(|_| {
            Refused::bad_request(format!(
                "`{which}` is neither an event's id nor a position `topic/lane/offset`"
            ))
        })?);
    }
    let rows = operations.ledger.dead_letters(&query)?;
    let at = |row: &DeadLetterRow| operations.dead_letter_position(row);
    let row = rows.into_iter().find(|row| position.as_ref().is_none_or(|position| at(row) == *position));
    let row = row.ok_or_else(|| Refused::not_found(format!("there is no dead letter `{which}`")))?;
    let letter = read(&operations, &row).await?;
    let text = || serde_json::Value::String(String::from_utf8_lossy(&letter.envelope).into_owned());
    Ok(Json(DeadLetterView {
        status: row.status,
        event_position: row.event_position.clone(),
        envelope: serde_json::from_slice(&letter.envelope).unwrap_or_else(|_| text()),
        line: line(&operations, row),
    }))
}

pub(super) async fn replay(
    State(operations): State<Arc<Operations>>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Response, Refused> {
    if let Some(adapter) = &query.adapter {
        operations.require_destination(adapter)?;
    }
    let rows = operations.ledger.dead_letters(&asked(&query))?;
    Ok(stream::response(|lines: Lines| async move {
        let mut progress = Progress { total: Some(rows.len() as u64), ..Progress::default() };
        let ended = run(&operations, &query, rows, &mut progress, &lines).await;
        progress.done = ended.is_ok();
        progress.error = ended.err().map(|error| format!("{error:#}"));
        // Nobody is left to tell when the reader has gone.
        let _ = lines.write(&progress).await;
    }))
}

pub(super) async fn purge(
    State(operations): State<Arc<Operations>>,
    Query(query): Query<DeadLetterQuery>,
) -> Result<Json<serde_json::Value>, Refused> {
    let rows = operations.ledger.dead_letters(&asked(&query))?;
    let purged: Vec<Position> = rows.iter().map(|row| operations.dead_letter_position(row)).collect();
    let count = purged.len();
    if count > 0 {
        let marked = Mark { purged, at: Clock::SYSTEM.now() }.append(operations.log.as_ref()).await?;
        operations.indexed(marked.last()).await?;
    }
    Ok(Json(serde_json::json!({ "purged": count })))
}

/// Oldest first, each to the destination that gave it up.
async fn run(
    operations: &Operations,
    query: &DeadLetterQuery,
    rows: Vec<DeadLetterRow>,
    progress: &mut Progress,
    lines: &Lines,
) -> anyhow::Result<()> {
    let mut pace = Pace::of_replay(query.rate, query.dry_run);
    let mut last = None;
    for row in rows.iter().rev() {
        progress.seen += 1;
        let (adapter, event) = match aim(operations, row).await? {
            Ok(aimed) => aimed,
            Err(why) => {
                progress.leave_out(format!("{}: {why}", operations.dead_letter_position(row)));
                continue;
            }
        };
        pace.next().await;
        if !query.dry_run {
            let log = operations.log.as_ref();
            last = redeliver(log, adapter, [event], "dead_letter", Clock::SYSTEM).await?.pop();
        }
        progress.matched += 1;
        if progress.seen.is_multiple_of(64) {
            lines.write(&*progress).await.map_err(|_| anyhow::anyhow!("interrupted"))?;
        }
    }
    operations.indexed(last.as_ref()).await
}

/// Where a dead letter goes again, and what; or why that cannot be said.
async fn aim<'a>(
    operations: &Operations,
    row: &'a DeadLetterRow,
) -> anyhow::Result<Result<(&'a str, Event), String>> {
    let Some(adapter) = row.adapter.as_deref() else {
        return Ok(Err("no destination gave it up".to_owned()));
    };
    if let Err(refused) = operations.require_destination(adapter) {
        return Ok(Err(refused.detail));
    }
    let letter = read(operations, row).await.map_err(|refused| anyhow::anyhow!(refused.detail))?;
    let event = Event::decode(&letter.envelope).map_err(|error| format!("no event: {error}"));
    Ok(event.map(|event| (adapter, event)))
}

async fn read(operations: &Operations, row: &DeadLetterRow) -> Result<DeadLetter, Refused> {
    let position = operations.dead_letter_position(row);
    let entry = operations.log.read(&position).await?;
    let entry = entry.ok_or_else(|| Refused::not_found(format!("{position} is no longer retained")))?;
    Ok(DeadLetter::decode(&entry.value)?)
}

fn asked(query: &DeadLetterQuery) -> hook_ledger::DeadLetterQuery {
    hook_ledger::DeadLetterQuery {
        adapter: query.adapter.clone(),
        reason: query.reason.clone(),
        event: query.event,
        since: query.since,
        until: query.until,
        replayed: (!query.all).then_some(false),
        purged: query.all,
        limit: query.limit,
    }
}

/// A row of the ledger as the API shows it.
pub(super) fn line(operations: &Operations, row: DeadLetterRow) -> DeadLetterLine {
    let state = match (row.purged_at, row.replayed_at) {
        (Some(_), _) => "purged",
        (None, Some(_)) => "replayed",
        (None, None) => "open",
    };
    DeadLetterLine {
        position: operations.dead_letter_position(&row).to_string(),
        adapter: row.adapter,
        event_id: row.event_id,
        failed_at: row.failed_at,
        reason: row.reason,
        error: row.error,
        attempts: row.attempts,
        state: state.to_owned(),
    }
}
