//! What the demonstration sends, and how each request must end.

use std::time::Duration;

use hook_core::{plan::Plan, secret::Environment};
use hook_event::{Clock, Entropy, EventId};
use http::{HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use crate::command::send;

/// Signs what `hook` sends to the receivers.
pub(super) const SECRET: &str = "whsec_ZGVtby1zZWNyZXQtb2YtdGhlLXR3by1yZWNlaXZlcnM=";

/// The secrets of the demonstration's contract.
pub(super) fn environment() -> Vec<(String, String)> {
    [
        ("DEMO_GITHUB_SECRET", "the secret shared with github"),
        ("DEMO_LINEAR_SECRET", "the secret shared with linear"),
        ("DEMO_OUTPUT_SECRET", SECRET),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// One request of the story.
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) source: &'static str,
    event: Option<&'static str>,
    body: &'static str,
    how: How,
    answer: u16,
    reviewer: &'static str,
    archive: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Signed,
    /// The request before, again, as a provider repeats it.
    Again,
    /// One byte of the body changed on the way.
    Forged,
    /// No signature at all.
    Unsigned,
    /// Signed an hour ago.
    Stale,
}

/// A request that was sent, and its answer.
pub(super) struct Sent {
    pub(super) step: &'static Step,
    pub(super) status: u16,
    pub(super) id: Option<EventId>,
}

const DONE: &str = "delivered";
const WAITED: &str = "delivered, after waiting";
const ANY: &str = "*";

const STEPS: &[Step] = &[
    Step {
        what: "a pull request is opened",
        source: "github",
        event: Some("pull_request"),
        body: r#"{"action":"opened","number":41,"pull_request":{"number":41,"title":"Store first, then answer"},"repository":{"id":1,"full_name":"acme/api"}}"#,
        how: How::Signed,
        answer: 202,
        reviewer: DONE,
        archive: WAITED,
    },
    Step {
        what: "the same delivery, repeated",
        source: "github",
        event: Some("pull_request"),
        body: r#"{"action":"opened","number":41,"pull_request":{"number":41,"title":"Store first, then answer"},"repository":{"id":1,"full_name":"acme/api"}}"#,
        how: How::Again,
        answer: 200,
        reviewer: ANY,
        archive: ANY,
    },
    Step {
        what: "a push",
        source: "github",
        event: Some("push"),
        body: r#"{"ref":"refs/heads/main","after":"6dcb09b5b57875f334f61aebed695e2e4193db5e","repository":{"id":1,"full_name":"acme/api"}}"#,
        how: How::Signed,
        answer: 202,
        reviewer: "not wanted",
        archive: ANY,
    },
    Step {
        what: "a body changed on its way",
        source: "github",
        event: Some("push"),
        body: r#"{"ref":"refs/heads/main","after":"0000000000000000000000000000000000000000","repository":{"id":1,"full_name":"acme/api"}}"#,
        how: How::Forged,
        answer: 401,
        reviewer: "",
        archive: "",
    },
    Step {
        what: "no signature",
        source: "github",
        event: Some("issues"),
        body: r#"{"action":"opened","issue":{"number":7},"repository":{"id":1,"full_name":"acme/api"}}"#,
        how: How::Unsigned,
        answer: 401,
        reviewer: "",
        archive: "",
    },
    Step {
        what: "an issue is created",
        source: "linear",
        event: Some("Issue"),
        body: r#"{"action":"create","type":"Issue","webhookTimestamp":{now},"data":{"id":"a1","identifier":"ENG-1","title":"Answer 503 when the disk is full","team":{"key":"ENG"}}}"#,
        how: How::Signed,
        answer: 202,
        reviewer: "not wanted",
        archive: ANY,
    },
    Step {
        what: "a request recorded an hour ago",
        source: "linear",
        event: Some("Issue"),
        body: r#"{"action":"remove","type":"Issue","webhookTimestamp":{now},"data":{"id":"a1"}}"#,
        how: How::Stale,
        answer: 401,
        reviewer: "",
        archive: "",
    },
    Step {
        what: "a comment that the archive refuses",
        source: "linear",
        event: Some("Comment"),
        body: r#"{"action":"create","type":"Comment","webhookTimestamp":{now},"data":{"id":"c1","body":"a payload that the archive refuses"}}"#,
        how: How::Signed,
        answer: 202,
        reviewer: "not wanted",
        archive: "dead letter (it refused)",
    },
    Step {
        what: "a sender nobody knows",
        source: "gitlub",
        event: None,
        body: "{}",
        how: How::Unsigned,
        answer: 404,
        reviewer: "",
        archive: "",
    },
    Step {
        what: "a pull request is closed",
        source: "github",
        event: Some("pull_request"),
        body: r#"{"action":"closed","number":41,"pull_request":{"number":41,"title":"Store first, then answer"},"repository":{"id":1,"full_name":"acme/api"}}"#,
        how: How::Signed,
        answer: 202,
        reviewer: DONE,
        archive: ANY,
    },
];

impl Sent {
    /// Whether it ended as the story says; `*` leaves open whether it waited.
    pub(super) fn as_expected(&self, answer: u16, reviewer: &str, archive: &str) -> bool {
        let fits = |want: &str, got: &str| match want {
            ANY => got.is_empty() || got.starts_with(DONE),
            want => want == got,
        };
        answer == self.step.answer && fits(self.step.reviewer, reviewer) && fits(self.step.archive, archive)
    }
}

/// Sends every step in order and keeps the answers.
pub(super) async fn send(plan: &Plan, environment: &Environment, at: &str) -> anyhow::Result<Vec<Sent>> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let mut sent = Vec::new();
    let mut headers = Vec::new();
    for step in STEPS {
        let now = Clock::SYSTEM.now();
        let signed_at = if step.how == How::Stale { now - SignedDuration::from_hours(1) } else { now };
        let body = step.body.replace("{now}", &signed_at.as_millisecond().to_string());
        if step.how != How::Again {
            headers = signature(plan, environment, step, &body, signed_at)?;
        }
        let body = if step.how == How::Forged { body.replacen("main", "mine", 1) } else { body };
        let mut request = client.post(format!("http://{at}/webhook/{}", step.source)).body(body);
        request = request.header(http::header::CONTENT_TYPE, "application/json");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let answer: serde_json::Value = answer.json().await.unwrap_or_default();
        let id = answer.get("id").and_then(|id| id.as_str()).filter(|_| status == 202);
        sent.push(Sent { step, status, id: id.and_then(|id| id.parse().ok()) });
    }
    Ok(sent)
}

fn signature(
    plan: &Plan,
    environment: &Environment,
    step: &Step,
    body: &str,
    at: Timestamp,
) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    if step.how == How::Unsigned {
        return Ok(Vec::new());
    }
    let source = send::source(plan, step.source, environment)?;
    Ok(source.sign(body.as_bytes(), at, Entropy::SYSTEM, step.event))
}
