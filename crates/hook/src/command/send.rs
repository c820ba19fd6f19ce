//! `hook send`: a payload as its provider would send it, signed with the
//! contract's own secret.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use hook_core::{plan::Plan, secret::Environment, source::Source};
use hook_event::{Clock, Entropy};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use url::Url;

use crate::{
    cli::{Global, Send},
    command::{plan_and_environment, read_input},
    fault::{self, Fault},
    output::Output,
};

/// What to send where.
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) file: PathBuf,
    pub(super) source: Option<String>,
    pub(super) event: Option<String>,
    pub(super) header: Vec<String>,
}

#[derive(Serialize)]
struct Answered {
    url: String,
    status: u16,
    body: serde_json::Value,
}

pub(crate) async fn run(command: Send, global: &Global, output: Output) -> anyhow::Result<()> {
    let url = match command.url {
        Some(url) => url,
        None => own_url(&plan_and_environment(global, output)?.0, &command.source)?,
    };
    let source = Some(command.source);
    let request = Request { url, file: command.file, source, event: command.event, header: command.header };
    post(request, global, output).await
}

/// Sends the request once and shows the answer; a refusal is exit code 1.
pub(super) async fn post(request: Request, global: &Global, output: Output) -> anyhow::Result<()> {
    let body = read_input(&request.file)?;
    let mut headers = vec![(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if let Some(name) = &request.source {
        let (plan, environment) = plan_and_environment(global, output)?;
        let source = source(&plan, name, &environment)?;
        headers.extend(source.sign(&body, Clock::SYSTEM.now(), Entropy::SYSTEM, request.event.as_deref()));
    }
    for header in &request.header {
        headers.push(parse_header(header)?);
    }

    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = client.timeout(Duration::from_secs(30)).build()?;
    let mut outgoing = client.post(request.url.clone()).body(body);
    for (name, value) in headers {
        outgoing = outgoing.header(name, value);
    }
    let answer = outgoing.send().await;
    let answer = answer
        .map_err(|error| fault::unreachable(format!("cannot reach {}: {}", request.url, cause(&error))))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    let body = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
    let answered = Answered { url: request.url.to_string(), status: status.as_u16(), body };
    output.result(&answered, |answered| format!("{status}\n{}", pretty(&answered.body)))?;
    if status.is_success() { Ok(()) } else { Err(Fault::Reported(1).into()) }
}

/// The source as the contract has it, with its secrets.
pub(super) fn source(plan: &Plan, name: &str, environment: &Environment) -> anyhow::Result<Source> {
    let Some(source) = plan.sources.get(name) else {
        let valid: Vec<_> = plan.sources.keys().map(|name| format!("`{name}`")).collect();
        let message = format!("the contract has no source `{name}`, expected one of {}", valid.join(", "));
        return Err(fault::usage(message));
    };
    Source::build(name, source, environment).map_err(|error| fault::usage(error.to_string()))
}

/// Where the contract's own HTTP ingress takes this source.
fn own_url(plan: &Plan, source: &str) -> anyhow::Result<Url> {
    let missing = || fault::usage("the contract has no HTTP ingress to send to; say where with `--url`");
    let template =
        plan.ingress.iter().find_map(|ingress| ingress.config.url_template()).ok_or_else(missing)?;
    let url = template.replace("{source}", source).replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    Url::parse(&url).with_context(|| format!("`{url}` is no URL"))
}

fn parse_header(header: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let wrong = || fault::usage(format!("`{header}` is no header: write `name: value`"));
    let (name, value) = header.split_once(':').ok_or_else(wrong)?;
    let name = name.trim().parse().map_err(|_| wrong())?;
    Ok((name, value.trim().parse().map_err(|_| wrong())?))
}

/// The innermost error says what happened; the outer ones repeat the URL.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

fn pretty(body: &serde_json::Value) -> String {
    match body {
        serde_json::Value::String(text) => text.clone(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
