//! `hook dlq`: what was given up, why, and another try.

use http::Method;
use serde::Deserialize;

use crate::{
    admin::wire::{DeadLetterLine, DeadLetterQuery, DeadLetterView, Progress},
    cli::{Dlq, DlqFilter, Global},
    client::{Client, Lines},
    clock,
    command::{client, events::time},
    fault,
    output::{self, Output},
};

const LISTED: usize = 50;

pub(crate) async fn run(command: Dlq, global: &Global, output: Output) -> anyhow::Result<()> {
    let client = client(global, output).await?;
    let done = match command {
        Dlq::List(filter) => list(&client, &filter, output).await,
        Dlq::Show { which } => {
            let query = serde_json::json!({ "which": which });
            let letter: anyhow::Result<DeadLetterView> = client.get("/v1/dead-letters/one", &query).await;
            letter.and_then(|letter| output.result(&letter, show))
        }
        Dlq::Replay { filter, rate, dry_run } => replay(&client, &filter, rate, dry_run, output).await,
        Dlq::Purge { filter, yes } => purge(&client, &filter, yes, output).await,
    };
    client.close();
    done
}

async fn list(client: &Client, filter: &DlqFilter, output: Output) -> anyhow::Result<()> {
    let mut query = query(filter)?;
    query.limit = query.limit.or(Some(LISTED));
    let letters: Vec<DeadLetterLine> = client.get("/v1/dead-letters", &query).await?;
    output.result(&letters, |letters| match letters.is_empty() {
        true => "no dead letters".to_owned(),
        false => output::table(
            &["GIVEN UP", "POSITION", "EVENT", "DESTINATION", "REASON", "ATTEMPTS", "STATE", "ERROR"],
            letters.iter().map(row).collect(),
        ),
    })
}

async fn replay(
    client: &Client,
    filter: &DlqFilter,
    rate: Option<u32>,
    dry_run: bool,
    output: Output,
) -> anyhow::Result<()> {
    let query = DeadLetterQuery { rate, dry_run, ..query(filter)? };
    let lines = client.lines(Method::POST, "/v1/dead-letters/replay", &query).await?;
    let done = follow(lines, "replaying", output).await?;
    finish(&done, dry_run, output)
}

async fn purge(client: &Client, filter: &DlqFilter, yes: bool, output: Output) -> anyhow::Result<()> {
    if !yes {
        return Err(fault::usage("this takes dead letters off the list for good; repeat it with `--yes`"));
    }
    #[derive(Deserialize, serde::Serialize)]
    struct Purged {
        purged: u64,
    }
    let mut lines = client.lines(Method::POST, "/v1/dead-letters/purge", &query(filter)?).await?;
    let purged = lines.next::<Purged>().await?.unwrap_or(Purged { purged: 0 });
    output.result(&purged, |purged| format!("{} dead letters purged", purged.purged))
}

fn query(filter: &DlqFilter) -> anyhow::Result<DeadLetterQuery> {
    let now = hook_event::Clock::SYSTEM.now();
    Ok(DeadLetterQuery {
        adapter: filter.adapter.clone(),
        reason: filter.reason.clone(),
        event: filter.event,
        since: clock::parse_opt(filter.since.as_deref(), now)?,
        until: clock::parse_opt(filter.until.as_deref(), now)?,
        all: filter.all,
        limit: filter.limit,
        rate: None,
        dry_run: false,
    })
}

fn row(letter: &DeadLetterLine) -> Vec<String> {
    vec![
        time(letter.failed_at),
        letter.position.clone(),
        letter.event_id.map(|id| id.to_string()).unwrap_or_default(),
        letter.adapter.clone().unwrap_or_default(),
        letter.reason.clone(),
        letter.attempts.to_string(),
        letter.state.clone(),
        letter.error.clone(),
    ]
}

fn show(letter: &DeadLetterView) -> String {
    let line = &letter.line;
    let status = letter.status.map(|status| format!(", HTTP {status}")).unwrap_or_default();
    let envelope = serde_json::to_string_pretty(&letter.envelope).unwrap_or_default();
    format!(
        "{}  {}\n  given up     {}\n  destination  {}\n  reason       {}{status}\n  error        {}\n  attempts     {}\n  event        {}\n\n{envelope}",
        output::heading(&line.position),
        line.state,
        time(line.failed_at),
        line.adapter.as_deref().unwrap_or("-"),
        line.reason,
        line.error,
        line.attempts,
        letter.event_position,
    )
}

/// Shows a bar until the last line, and returns that.
pub(super) async fn follow(mut lines: Lines, what: &str, output: Output) -> anyhow::Result<Progress> {
    let mut last = Progress::default();
    let bar = output.progress(None, what);
    while let Some(progress) = lines.next::<Progress>().await? {
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.seen);
        last = progress;
    }
    bar.finish_and_clear();
    match (&last.error, last.done) {
        (Some(error), _) => Err(anyhow::anyhow!("stopped after {} of them: {error}", last.matched)),
        (None, false) => {
            Err(anyhow::anyhow!("the process ended in the middle, after {} of them", last.matched))
        }
        (None, true) => Ok(last),
    }
}

/// Says what came of a replay; one that left something out has failed in part.
pub(super) fn finish(done: &Progress, dry_run: bool, output: Output) -> anyhow::Result<()> {
    output.result(done, |done| match dry_run {
        true => format!("{} would be delivered again (nothing was sent)", done.matched),
        false => format!("{} on their way again", done.matched),
    })?;
    let Some(first) = &done.first_failure else { return Ok(()) };
    Err(anyhow::anyhow!("{} of {} were left out; the first: {first}", done.failed, done.seen))
}
