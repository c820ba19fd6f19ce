//! `hook replay`: events of the log again to one destination, or a file to a URL.

use http::Method;

use crate::{
    admin::wire::ReplayQuery,
    cli::{Global, Replay, ReplayEvents},
    client::Client,
    clock,
    command::{client, dlq, send},
    output::Output,
};

pub(crate) async fn run(command: Replay, global: &Global, output: Output) -> anyhow::Result<()> {
    match command {
        Replay::Webhook { url, file, source, header } => {
            let request = send::Request { url, file, source, event: None, header };
            send::post(request, global, output).await
        }
        Replay::Events(command) => {
            let client = client(global, output).await?;
            let done = events(&client, command, output).await;
            client.close();
            done
        }
    }
}

async fn events(client: &Client, command: ReplayEvents, output: Output) -> anyhow::Result<()> {
    let now = hook_event::Clock::SYSTEM.now();
    let dry_run = command.dry_run;
    let query = ReplayQuery {
        since: clock::parse_opt(command.since.as_deref(), now)?,
        until: clock::parse_opt(command.until.as_deref(), now)?,
        topic: command.topic,
        to: command.to,
        event_type: command.event_type,
        when: command.when,
        rate: command.rate,
        dry_run,
    };
    let lines = client.lines(Method::POST, "/v1/replay", &query).await?;
    let done = dlq::follow(lines, "replaying", output).await?;
    dlq::finish(&done, dry_run, output)
}
