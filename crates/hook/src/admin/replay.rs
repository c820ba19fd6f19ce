//! Events of the log once more, to one destination.
//!
//! A record on which `--when` fails is no "no": it is left out, counted and told.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{Query, State},
    response::Response,
};
use hook_core::{
    expr::{Condition, View},
    glob::Glob,
    pipeline::deliver::redeliver,
};
use hook_event::{Clock, Event};
use hook_log::{Entry, Start, Topic};

use crate::admin::{
    Operations, Refused,
    stream::{self, Lines, Pace},
    wire::{Progress, ReplayQuery},
};

const BATCH: usize = 256;

/// What an event must be to be delivered again.
struct Filter {
    until: Option<jiff::Timestamp>,
    event_type: Option<Glob>,
    when: Option<Condition>,
}

pub(super) async fn replay(
    State(operations): State<Arc<Operations>>,
    Query(query): Query<ReplayQuery>,
) -> Result<Response, Refused> {
    operations.require_destination(&query.to)?;
    let topic = Topic::new(&query.topic).map_err(|error| Refused::bad_request(error.to_string()))?;
    let when = query.when.as_deref().map(Condition::parse).transpose();
    let filter = Filter {
        until: query.until,
        event_type: query.event_type.as_deref().map(Glob::new),
        when: when.map_err(|error| Refused::bad_request(format!("--when: {error}")))?,
    };
    if !operations.log.topics().await?.iter().any(|info| info.topic == topic) {
        return Err(Refused::not_found(format!("topic `{topic}` does not exist")));
    }
    Ok(stream::response(|lines| async move {
        let mut progress = Progress::default();
        let ended = run(&operations, &topic, &query, &filter, &mut progress, &lines).await;
        progress.done = ended.is_ok();
        progress.error = ended.err().map(|error| format!("{error:#}"));
        // Nobody is left to tell when the reader has gone.
        let _ = lines.write(&progress).await;
    }))
}

async fn run(
    operations: &Operations,
    topic: &Topic,
    query: &ReplayQuery,
    filter: &Filter,
    progress: &mut Progress,
    lines: &Lines,
) -> anyhow::Result<()> {
    let start = query
        .since
        .map_or(Start::Beginning, |since| Start::Time(u64::try_from(since.as_millisecond()).unwrap_or(0)));
    let topics = operations.log.topics().await?;
    let lanes = topics.iter().find(|info| info.topic == *topic).map_or(1, |info| info.lanes.len());
    // Lanes that have come to the end of the time that was asked for.
    let mut ended = BTreeSet::new();
    let mut scan = operations.log.scan(topic, start).await?;
    let mut pace = Pace::of_replay(query.rate, query.dry_run);
    loop {
        let batch = scan.next(BATCH).await?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for entry in &batch {
            progress.seen += 1;
            if ended.contains(&entry.position.lane) || filter.past(entry) {
                ended.insert(entry.position.lane);
                continue;
            }
            match filter.wants(entry) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    pace.next().await;
                    wanted.push(event);
                }
                Err(why) => progress.leave_out(format!("{}: {why}", entry.position)),
            }
            // A paced replay sends each event when its turn comes.
            if query.rate.is_some() {
                send(operations, query, std::mem::take(&mut wanted), progress).await?;
            }
        }
        send(operations, query, wanted, progress).await?;
        if ended.len() == lanes {
            return Ok(());
        }
        lines.write(&*progress).await.map_err(|_| anyhow::anyhow!("interrupted"))?;
    }
}

async fn send(
    operations: &Operations,
    query: &ReplayQuery,
    events: Vec<Event>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let count = events.len() as u64;
    if !query.dry_run && count > 0 {
        redeliver(operations.log.as_ref(), &query.to, events, "replay", Clock::SYSTEM).await?;
    }
    progress.matched += count;
    Ok(())
}

impl Filter {
    fn past(&self, entry: &Entry) -> bool {
        self.until.is_some_and(|until| i128::from(entry.appended_ms) >= i128::from(until.as_millisecond()))
    }

    /// The record's event, if it fits; an error where that cannot be said.
    fn wants(&self, entry: &Entry) -> Result<Option<Event>, String> {
        let event = Event::decode(&entry.value).map_err(|error| format!("no event: {error}"))?;
        if self.event_type.as_ref().is_some_and(|glob| !glob.matches(&event.event_type)) {
            return Ok(None);
        }
        let Some(when) = &self.when else { return Ok(Some(event)) };
        let holds = when.holds(&View::of(&event));
        let holds = holds.map_err(|error| format!("`--when` failed on event {}: {error}", event.id))?;
        Ok(holds.then_some(event))
    }
}
