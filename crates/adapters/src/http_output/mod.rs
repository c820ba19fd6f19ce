//! `http_output`: POSTs each event to a URL, signed by Standard Webhooks.
//!
//! | answer | judged |
//! |---|---|
//! | 2xx | delivered |
//! | no connection (refused, DNS, TLS, timeout), 429, 502, 503, 504 | unavailable |
//! | 408, 409, 500 and other 5xx, a timeout or break after connecting | failed |
//! | 3xx (never followed) and other 4xx | refused |
//! | 410, or a name that resolves into a blocked network | halted |

mod config;
mod deliver;

use hook_core::driver::EgressDriver;
use schemars::JsonSchema;

use crate::row;

/// The driver's row.
pub(crate) const DRIVER: EgressDriver = EgressDriver {
    name: "http_output",
    summary: "POSTs each event to a URL, signed by Standard Webhooks.",
    example: r#"
url = "https://example.com/hooks"
secret_env = "EXAMPLE_SECRET"
body = "envelope"
timeout_seconds = 20
"#,
    parse: row::egress::<config::Config>,
    schema: config::Config::json_schema,
};
