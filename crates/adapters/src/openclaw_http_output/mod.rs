//! `openclaw_http_output`: hands each event to an OpenClaw gateway's
//! `POST /hooks/agent`.
//!
//! The body is a pure function of the event, because the gateway recognises a
//! repetition by its key *and* its fields: a retry sends the same bytes.
//!
//! | answer | judged |
//! |---|---|
//! | 2xx | delivered, with the run's id |
//! | 2xx with `"ok": false`, 400, 403, 404, 405, 413, other 3xx and 4xx | refused |
//! | 401 | halted: twenty bad tokens lock the sender out |
//! | a web page instead of an answer | halted: the URL is not a hooks endpoint |
//! | no connection, 429, 503, 504 | unavailable |
//! | 408, 409, 500, 502, other 5xx, a timeout or break after connecting | failed |
//!
//! For a gateway's own mappings (`/hooks/<name>`), which read arbitrary JSON, use
//! `http_output` with `token_env`.

mod config;
mod deliver;
mod message;
mod wire;

use hook_core::driver::EgressDriver;
use schemars::JsonSchema;

use crate::row;

/// The driver's row.
pub(crate) const DRIVER: EgressDriver = EgressDriver {
    name: "openclaw_http_output",
    summary: "Wakes an OpenClaw agent with each event.",
    example: r#"
url = "http://127.0.0.1:18789/hooks/agent"
token_env = "OPENCLAW_WEBHOOK_TOKEN"
timeout_seconds = 20
message = "Review PR #{{ payload.number }} in {{ payload.repository.full_name }}"
"#,
    parse: row::egress::<config::Config>,
    schema: config::Config::json_schema,
};
