//! `hook events`: what is stored, and each event's whole life.

use http::Method;
use jiff::Timestamp;

use crate::{
    admin::wire::{EventLine, EventQuery, Life},
    cli::{EventFilter, Events, Global},
    client::Client,
    clock,
    command::client,
    output::{self, Output},
};

pub(crate) async fn run(command: Events, global: &Global, output: Output) -> anyhow::Result<()> {
    let client = client(global, output).await?;
    let done = match command {
        Events::List(filter) => list(&client, &filter, output).await,
        Events::Show { id, payload: true } => {
            let bytes = client.bytes(&format!("/v1/events/{id}/payload")).await;
            bytes.and_then(|bytes| output::bytes(&bytes))
        }
        Events::Show { id, payload: false } => {
            let life: anyhow::Result<Life> = client.get(&format!("/v1/events/{id}"), &()).await;
            life.and_then(|life| output.result(&life, show))
        }
        Events::Tail { source, event_type } => {
            tail(&client, &EventQuery { source, event_type, ..EventQuery::default() }, output).await
        }
    };
    client.close();
    done
}

async fn list(client: &Client, filter: &EventFilter, output: Output) -> anyhow::Result<()> {
    let now = hook_event::Clock::SYSTEM.now();
    let query = EventQuery {
        source: filter.source.clone(),
        event_type: filter.event_type.clone(),
        since: clock::parse_opt(filter.since.as_deref(), now)?,
        until: clock::parse_opt(filter.until.as_deref(), now)?,
        limit: Some(filter.limit),
    };
    let events: Vec<EventLine> = client.get("/v1/events", &query).await?;
    output.result(&events, |events| match events.is_empty() {
        true => "no events yet; try `hook send --help`".to_owned(),
        false => {
            output::table(&["RECEIVED", "ID", "SOURCE", "TYPE", "FATE"], events.iter().map(row).collect())
        }
    })
}

async fn tail(client: &Client, query: &EventQuery, output: Output) -> anyhow::Result<()> {
    let mut lines = client.lines(Method::GET, "/v1/events/tail", query).await?;
    loop {
        let line = tokio::select! {
            line = lines.next::<EventLine>() => line?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(line) = line else { return Ok(()) };
        output.line(&line, |line| row(line).join("  "))?;
    }
}

fn row(event: &EventLine) -> Vec<String> {
    vec![
        time(event.received_at),
        event.id.to_string(),
        event.source.clone(),
        event.event_type.clone(),
        fate(event),
    ]
}

fn fate(event: &EventLine) -> String {
    let one = |fate: &crate::admin::wire::Fate| match fate.attempts {
        0 | 1 => format!("{} {}", fate.adapter, fate.outcome),
        attempts => format!("{} {} after {attempts} attempts", fate.adapter, fate.outcome),
    };
    event.fate.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn show(life: &Life) -> String {
    let mut text =
        format!("{}  {}  {}\n", output::heading(&life.id.to_string()), life.source, life.event_type);
    let mut field = |name: &str, value: String| text.push_str(&format!("  {name:<12} {value}\n"));
    field("received", time(life.received_at));
    field(
        "stored",
        format!("{} ({} payload)", life.position, output::human_bytes(life.payload_bytes as u64)),
    );
    for (name, value) in [
        ("through", &life.meta.ingress_adapter),
        ("verified by", &life.meta.verified_by),
        ("delivery id", &life.meta.delivery_id),
        ("subject", &life.meta.subject),
        ("ordering", &life.meta.ordering_key),
        ("serve route", &life.meta.route_key),
        ("trace", &life.meta.trace_id),
    ] {
        if let Some(value) = value {
            field(name, value.clone());
        }
    }
    if !life.meta.flags.is_empty() {
        field("flags", life.meta.flags.join(", "));
    }
    for routed in &life.routes {
        field("wanted by", format!("{} (route {})", routed.adapter, routed.route));
    }
    for failed in &life.when_failed {
        field("when failed", format!("{} (route {}): {}", failed.adapter, failed.route, failed.error));
    }
    if !life.indexed {
        field("attempts", "not known yet, ask again in a moment".to_owned());
    }
    if !life.attempts.is_empty() {
        text.push('\n');
        text.push_str(&output::table(
            &["WHEN", "DESTINATION", "ATTEMPT", "OUTCOME", "STATUS", "TOOK", "DETAIL"],
            life.attempts.iter().map(attempt).collect(),
        ));
        text.push('\n');
    }
    for letter in &life.dead_letters {
        let adapter = letter.adapter.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "\ndead letter {} ({}) at {adapter}: {}: {}\n",
            letter.position, letter.state, letter.reason, letter.error
        ));
    }
    text
}

fn attempt(attempt: &hook_core::journal::Attempt) -> Vec<String> {
    let mut outcome = attempt.outcome.as_str().to_owned();
    if attempt.redelivery {
        outcome.push_str(" (redelivery)");
    }
    vec![
        time(attempt.at),
        attempt.adapter.clone(),
        attempt.attempt.to_string(),
        outcome,
        attempt.status.map(|status| status.to_string()).unwrap_or_default(),
        format!("{} ms", attempt.millis),
        attempt.detail.clone().unwrap_or_default(),
    ]
}

/// Seconds are enough for a person; `--json` has them all.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
