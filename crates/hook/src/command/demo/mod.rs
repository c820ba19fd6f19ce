//! `hook demo`: the real pipeline on a temporary directory, with real HTTP on both
//! sides, good and bad senders, and a destination that is down for a while.

mod receiver;
mod script;

use std::{path::Path, time::Duration};

use hook_core::{contract, inherited::Inherited, plan::Plan, secret::Environment};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::{
    receiver::Receiver,
    script::{Sent, Step},
};
use crate::{
    admin::wire::Life,
    app::Running,
    client::Client,
    contract::DRIVERS,
    output::{self, Output},
    roles::Roles,
};

const CONTRACT: &str = include_str!("demo.toml");
const DOWN_FOR: Duration = Duration::from_secs(5);
const SETTLES_WITHIN: Duration = Duration::from_secs(40);

/// One row of the table.
#[derive(Serialize)]
struct Row {
    what: &'static str,
    source: &'static str,
    answer: u16,
    event_type: String,
    reviewer: String,
    archive: String,
}

#[derive(Serialize)]
struct Summary {
    events: Vec<Row>,
    received_by_reviewer: usize,
    received_by_archive: usize,
    forged_signatures_seen: usize,
    /// Whether every event ended as the story says.
    as_expected: bool,
}

pub(crate) async fn run(output: Output) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let reviewer = Receiver::start(script::SECRET, Duration::ZERO).await?;
    let archive = Receiver::start(script::SECRET, DOWN_FOR).await?;
    let environment = Environment::new(script::environment());
    let plan = plan(directory.path(), &reviewer, &archive)?;
    output.note(&format!(
        "the contract: an HTTP ingress, and two destinations; `archive` is down for {DOWN_FOR:?}"
    ));

    let running = Running::start(plan.clone(), environment.clone(), Roles::ALL, Inherited::default()).await?;
    let at = running.endpoints().first().map(|endpoint| endpoint.at.clone()).unwrap_or_default();
    let stop = CancellationToken::new();
    let process = tokio::spawn(running.until(stop.clone()));

    let sent = script::send(&plan, &environment, &at).await?;
    output.note(&format!("{} requests sent to http://{at}; waiting until every event has ended", sent.len()));
    let lives = settle(&plan, &sent, output).await?;
    stop.cancel();
    process.await??;

    let rows: Vec<Row> = sent.iter().zip(&lives).map(|(sent, life)| row(sent, life.as_ref())).collect();
    let as_expected =
        sent.iter().zip(&rows).all(|(sent, row)| sent.as_expected(row.answer, &row.reviewer, &row.archive));
    let summary = Summary {
        received_by_reviewer: reviewer.received(),
        received_by_archive: archive.received(),
        forged_signatures_seen: reviewer.forged() + archive.forged(),
        events: rows,
        as_expected,
    };
    output.result(&summary, show)?;
    if as_expected {
        Ok(())
    } else {
        Err(anyhow::anyhow!("an event did not end as it should; the table shows which"))
    }
}

fn plan(data: &Path, reviewer: &Receiver, archive: &Receiver) -> anyhow::Result<Plan> {
    let text = CONTRACT.replace("{reviewer}", &reviewer.url()).replace("{archive}", &archive.url());
    let options = contract::Options { data_dir: Some(data.into()), ..contract::Options::default() };
    let loaded = contract::load("demo.toml", &text, &options, &DRIVERS);
    Ok(loaded.map_err(|report| anyhow::anyhow!(report.render(false)))?.plan)
}

/// Waits until every accepted event has ended at both destinations.
async fn settle(plan: &Plan, sent: &[Sent], output: Output) -> anyhow::Result<Vec<Option<Life>>> {
    let Some(client) = Client::running(&plan.log.path).await else {
        anyhow::bail!("the process does not answer")
    };
    let accepted = sent.iter().filter(|sent| sent.id.is_some()).count();
    let bar = output.progress(Some(accepted as u64), "delivering");
    let until = tokio::time::Instant::now() + SETTLES_WITHIN;
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        let mut lives = Vec::new();
        for sent in sent {
            lives.push(match sent.id {
                Some(id) => client.get::<Life>(&format!("/v1/events/{id}"), &()).await.ok(),
                None => None,
            });
        }
        let ended = lives.iter().flatten().filter(|life| ended(life)).count();
        bar.set_position(ended as u64);
        if ended == accepted || tokio::time::Instant::now() > until {
            bar.finish_and_clear();
            return Ok(lives);
        }
    }
}

fn ended(life: &Life) -> bool {
    !life.routes.is_empty()
        && life.routes.iter().all(|routed| {
            life.attempts
                .iter()
                .any(|attempt| attempt.adapter == routed.adapter && attempt.outcome.is_final())
        })
}

fn row(sent: &Sent, life: Option<&Life>) -> Row {
    let Step { what, source, .. } = sent.step;
    Row {
        what,
        source,
        answer: sent.status,
        event_type: life.map(|life| life.event_type.clone()).unwrap_or_default(),
        reviewer: life.map(|life| fate(life, "reviewer")).unwrap_or_default(),
        archive: life.map(|life| fate(life, "archive")).unwrap_or_default(),
    }
}

/// `delivered`, `delivered, after waiting`, `dead letter: …`.
fn fate(life: &Life, adapter: &str) -> String {
    let attempts: Vec<_> = life.attempts.iter().filter(|attempt| attempt.adapter == adapter).collect();
    let Some(end) = attempts.iter().find(|attempt| attempt.outcome.is_final()) else {
        return if attempts.is_empty() { "not wanted".into() } else { "waiting".into() };
    };
    match (end.outcome, attempts.len()) {
        (hook_core::journal::Outcome::Delivered, 1) => "delivered".into(),
        (hook_core::journal::Outcome::Delivered, _) => "delivered, after waiting".into(),
        (hook_core::journal::Outcome::DeadLettered, _) => "dead letter (it refused)".into(),
        (outcome, _) => outcome.as_str().into(),
    }
}

fn show(summary: &Summary) -> String {
    let line = |(number, row): (usize, &Row)| {
        vec![
            (number + 1).to_string(),
            row.what.to_owned(),
            row.source.to_owned(),
            row.answer.to_string(),
            row.event_type.clone(),
            row.reviewer.clone(),
            row.archive.clone(),
        ]
    };
    let head = ["#", "WHAT WAS SENT", "SOURCE", "ANSWER", "EVENT", "REVIEWER", "ARCHIVE (WAS DOWN)"];
    let table = output::table(&head, summary.events.iter().enumerate().map(line).collect());
    let stored = summary.events.iter().filter(|row| row.answer == 202).count();
    let refused = summary.events.iter().filter(|row| row.answer >= 400).count();
    format!(
        "\n{table}\n\n{stored} stored and delivered or accounted for, {refused} refused, {} repeated; \
         the receivers checked every signature and found {} forged.\n\n\
         Next: `hook config show` prints what the built-in contract does; `hook check` reads yours; `hook run` starts it.",
        summary.events.len() - stored - refused,
        summary.forged_signatures_seen,
    )
}
