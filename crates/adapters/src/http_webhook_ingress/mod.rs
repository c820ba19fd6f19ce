//! `http_webhook_ingress`: takes webhooks over HTTP/1.1 and HTTP/2, with or without
//! TLS, and answers with exactly what the pipeline says (`answer`).
//!
//! It runs its own accept loop (`listen`), so that slow headers, slow bodies, too
//! many connections and a full table of open files each have their limit. Bodies
//! are bytes: nothing here decompresses or parses them, because signatures are
//! made over what was sent. What is deliberately not here: any judgement about an
//! event.

mod answer;
mod body;
mod config;
mod handle;
mod listen;
mod path;
mod peer;
mod tls;

use hook_core::driver::IngressDriver;
use schemars::JsonSchema;

use crate::row;

/// The driver's row.
pub(crate) const DRIVER: IngressDriver = IngressDriver {
    name: "http_webhook_ingress",
    summary: "Takes webhooks over HTTP, with TLS if given a certificate.",
    example: r#"
bind = "127.0.0.1:8080"
path_template = "/webhook/{source}"
trusted_proxies = ["10.0.0.0/8"]
"#,
    parse: row::ingress::<config::Config>,
    schema: config::Config::json_schema,
};
