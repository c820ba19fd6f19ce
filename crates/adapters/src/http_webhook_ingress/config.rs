//! The keys of `http_webhook_ingress`; their docs are the user's reference.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use hook_core::{
    driver::{BuildContext, BuildError, IngressConfig, Problem},
    ports::Ingress,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::Bodies,
    handle::Handler,
    listen::{Limits, Server},
    path::PathTemplate,
    tls,
};
use crate::{
    guard::Networks,
    listener,
    row::{as_settings, at_least_one, problem},
};

/// How long requests under way may take when the process stops.
const DRAIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Address and port to listen on: `127.0.0.1:8080`. Port 0 takes a free one. A
    /// socket that a service manager hands over for it, or by the adapter's id, is used.
    #[schemars(with = "String")]
    bind: SocketAddr,
    /// The path that webhooks are sent to; `{source}` stands for the source's name.
    #[serde(default)]
    #[schemars(with = "String")]
    path_template: PathTemplate,
    /// The largest body in bytes; a larger one is answered 413 and never cut. The
    /// default, 25 MiB, takes everything that GitHub sends.
    #[serde(default = "default_max_payload_bytes")]
    max_payload_bytes: u64,
    /// Connections open at once; more wait until one ends.
    #[serde(default = "default_max_connections")]
    max_connections: u32,
    /// Seconds within which a TLS handshake, and then a request's headers, must be
    /// complete.
    #[serde(default = "default_header_timeout_seconds")]
    header_timeout_seconds: u64,
    /// Seconds within which a whole body must have arrived, however steadily it drips.
    #[serde(default = "default_body_timeout_seconds")]
    body_timeout_seconds: u64,
    /// Networks of proxies whose `X-Forwarded-For` is believed, from the right up to
    /// the first address that is not one of them. Empty believes nobody.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    trusted_proxies: Networks,
    /// The PEM file of the certificate chain; with `tls_key_file` it turns TLS on.
    #[serde(default)]
    tls_cert_file: Option<PathBuf>,
    /// The PEM file of the certificate's private key.
    #[serde(default)]
    tls_key_file: Option<PathBuf>,
}

fn default_max_payload_bytes() -> u64 {
    25 << 20
}

fn default_max_connections() -> u32 {
    1024
}

fn default_header_timeout_seconds() -> u64 {
    10
}

fn default_body_timeout_seconds() -> u64 {
    30
}

#[async_trait]
impl IngressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn check(&self) -> Vec<Problem> {
        let numbers = [
            ("max_payload_bytes", self.max_payload_bytes),
            ("max_connections", self.max_connections.into()),
            ("header_timeout_seconds", self.header_timeout_seconds),
            ("body_timeout_seconds", self.body_timeout_seconds),
        ];
        let mut problems: Vec<Problem> =
            numbers.into_iter().filter_map(|(key, value)| at_least_one(key, value)).collect();
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(_), None) => problems.push(problem("tls_cert_file", "TLS also needs `tls_key_file`")),
            (None, Some(_)) => problems.push(problem("tls_key_file", "TLS also needs `tls_cert_file`")),
            _ => {}
        }
        problems
    }

    fn url_template(&self) -> Option<String> {
        let scheme = if self.tls_cert_file.is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{}{}", self.bind, self.path_template))
    }

    async fn build(&self, context: &BuildContext) -> Result<Box<dyn Ingress>, BuildError> {
        let tls = match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(cert), Some(key)) => Some(tls::acceptor(cert, key)?),
            _ => None,
        };
        let cannot_listen =
            |error: std::io::Error| BuildError::Resource(format!("cannot listen on {}: {error}", self.bind));
        let socket = listener::listen(context, self.bind).await.map_err(cannot_listen)?;
        let address = socket.local_addr().map_err(cannot_listen)?;
        let max_payload = usize::try_from(self.max_payload_bytes).unwrap_or(usize::MAX);
        let handler = Handler {
            adapter: context.id.clone(),
            clock: context.clock,
            entropy: context.entropy,
            path: self.path_template.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            bodies: Bodies::new(max_payload, Duration::from_secs(self.body_timeout_seconds)),
        };
        let limits = Limits {
            connections: self.max_connections as usize,
            header_timeout: Duration::from_secs(self.header_timeout_seconds),
            drain: DRAIN,
        };
        Ok(Box::new(Server { socket, address, tls, limits, handler: Arc::new(handler) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<&'static str> {
        let config: Config = toml::from_str(text).unwrap();
        config.check().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn what_the_contract_can_get_wrong() {
        assert_eq!(problems("bind = '127.0.0.1:0'"), [""; 0]);
        assert_eq!(problems("bind = '127.0.0.1:0'\nmax_payload_bytes = 0"), ["max_payload_bytes"]);
        assert_eq!(problems("bind = '127.0.0.1:0'\nmax_connections = 0"), ["max_connections"]);
        assert_eq!(problems("bind = '127.0.0.1:0'\ntls_cert_file = 'a'"), ["tls_cert_file"]);
        assert_eq!(problems("bind = '127.0.0.1:0'\ntls_key_file = 'a'"), ["tls_key_file"]);
        for bad in [
            "",
            "bind = 'nonsense'",
            "bind = '127.0.0.1:0'\nbnd = 1",
            "bind = '127.0.0.1:0'\npath_template = '/in'",
            "bind = '127.0.0.1:0'\ntrusted_proxies = ['10.0.0.0/99']",
        ] {
            assert!(toml::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }
}
