//! `hook status`: the process at a glance.

use crate::{
    admin::wire::{Bridge, Destination, Status, Topic},
    backend,
    cli::Global,
    client::Client,
    command::{client, events::time},
    contract,
    fault::{self, Fault},
    output::{self, Output},
};

pub(crate) async fn run(global: &Global, output: Output) -> anyhow::Result<()> {
    let client = client(global, output).await?;
    let status: anyhow::Result<Status> = client.get("/v1/status", &()).await;
    client.close();
    output.result(&status?, show)
}

/// Asks only a process that runs; opens nothing.
pub(crate) async fn ready(global: &Global, output: Output) -> anyhow::Result<()> {
    let directories = backend::directories(&contract::plan(global, output)?);
    for directory in &directories {
        let Some(client) = Client::running(directory).await else { continue };
        let status: Status = client.get("/v1/status", &()).await?;
        let reason = status.not_ready.clone();
        output.result(&status, |status| match &status.not_ready {
            Some(reason) => format!("not ready: {reason}"),
            None => "ready".to_owned(),
        })?;
        return if reason.is_some() { Err(Fault::Reported(1).into()) } else { Ok(()) };
    }
    let shown: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
    Err(fault::unreachable(format!("no process runs on {}", shown.join(", "))))
}

fn show(status: &Status) -> String {
    let mut text = match (&status.role, status.pid, status.since) {
        (Some(role), Some(pid), Some(since)) if status.running => {
            format!(
                "{} runs as `hook {role}` (pid {pid}) since {}\n",
                output::heading(&status.app),
                time(since)
            )
        }
        _ => format!("{} does not run; this is what {} holds\n", output::heading(&status.app), status.data),
    };
    text.push_str(&format!(
        "profile {}, {} validation, data in {}\n",
        status.profile, status.validation_mode, status.data
    ));
    if let Some(reason) = &status.not_ready {
        text.push_str(&format!("NOT READY: {reason}\n"));
    }
    for listening in &status.listening {
        text.push_str(&format!("listening   {} at {}\n", listening.adapter, listening.at));
    }
    if status.dead_letters > 0 {
        text.push_str(&format!("dead letters {}: see `hook dlq list`\n", status.dead_letters));
    }
    text.push('\n');
    text.push_str(&output::table(
        &["DESTINATION", "STATE", "WAITING", "DELIVERED", "DEAD", "IN FLIGHT", "TO"],
        status.destinations.iter().map(destination).collect(),
    ));
    if !status.bridges.is_empty() {
        text.push_str("\n\n");
        text.push_str(&output::table(
            &["BRIDGE", "STATE", "WAITING", "CARRIED", "DEAD", "FROM", "TO"],
            status.bridges.iter().map(bridge).collect(),
        ));
    }
    text.push_str("\n\n");
    text.push_str(&output::table(
        &["TOPIC", "OLDEST", "NEXT", "SIZE"],
        status.topics.iter().map(topic).collect(),
    ));
    text
}

fn destination(row: &Destination) -> Vec<String> {
    let figure = |name: &str| figure(row.delivery.as_ref(), name);
    let state = state(row.delivery.as_ref());
    vec![
        row.adapter.clone(),
        state,
        row.lag.to_string(),
        figure("delivered"),
        figure("dead_lettered"),
        figure("in_flight"),
        row.endpoint.clone(),
    ]
}

fn bridge(row: &Bridge) -> Vec<String> {
    let figure = |name: &str| figure(Some(&row.relay), name);
    vec![
        row.bridge.clone(),
        state(Some(&row.relay)),
        row.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string()),
        figure("carried"),
        figure("dead_lettered"),
        row.from.clone(),
        format!("{} in {}", row.output_topic, row.to),
    ]
}

/// A figure of a part's own account.
fn figure(account: Option<&serde_json::Value>, name: &str) -> String {
    let value = account.and_then(|account| account.get(name));
    value.map_or_else(
        || "-".to_owned(),
        |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn state(account: Option<&serde_json::Value>) -> String {
    let reason = account.and_then(|account| account.get("reason")?.as_str());
    let state = figure(account, "state");
    reason.map_or_else(|| state.clone(), |reason| format!("{state}: {reason}"))
}

fn topic(row: &Topic) -> Vec<String> {
    vec![row.topic.clone(), row.first.to_string(), row.next.to_string(), output::human_bytes(row.bytes)]
}
