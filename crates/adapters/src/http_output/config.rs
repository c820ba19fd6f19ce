//! The keys of `http_output`; their docs are the user's reference.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use hook_core::{
    driver::{BuildContext, BuildError, EgressConfig, Problem},
    ports::Egress,
    secret::SecretRef,
};
use hook_event::standard_webhooks::Key;
use http::{HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::deliver::HttpOutput;
use crate::{
    body::Body,
    client::{self, Client, Destination, check_headers, check_url},
    guard::Networks,
    row::{self, as_settings, at_least_one, problem},
};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Where events are POSTed to.
    #[schemars(with = "String")]
    url: Url,
    /// The environment variable of the signing secret: `whsec_…`, `whsk_…` or plain
    /// text. Without one requests are not signed.
    #[serde(default)]
    secret_env: Option<String>,
    /// The same for several secrets that are live at once, while receivers change
    /// over: every request carries a signature by each.
    #[serde(default)]
    secrets_env: Vec<String>,
    /// The environment variable of a token sent as `Authorization: Bearer`.
    #[serde(default)]
    token_env: Option<String>,
    /// Headers sent as they are written here. None of them may be a secret.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Headers whose values are secrets: the header's name, and the environment
    /// variable that holds the value.
    #[serde(default)]
    headers_env: BTreeMap<String, String>,
    /// What is sent: `envelope`, `payload` (the sender's bytes), `cloudevents`, or a
    /// template such as `{"text": {{ payload.title }} }`.
    #[serde(default)]
    #[schemars(with = "String")]
    body: Body,
    /// The media type of a template's text. With a JSON type, the default, inserted
    /// values are written as JSON.
    #[serde(default)]
    content_type: Option<String>,
    /// Seconds that one attempt may take, from connecting to the answer.
    #[serde(default = "row::default_timeout_seconds")]
    timeout_seconds: u64,
    /// Networks that may be called besides the public internet: `["10.0.0.0/8"]`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    allow_networks: Networks,
}

#[async_trait]
impl EgressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn secrets(&self) -> Vec<SecretRef> {
        let names = self.signing_names().chain(&self.token_env).chain(self.headers_env.values());
        names.cloned().map(SecretRef::Env).collect()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = check_url(&self.url, &self.allow_networks);
        problems.extend(check_headers(&self.headers));
        problems.extend(at_least_one("timeout_seconds", self.timeout_seconds));
        problems.extend(self.headers_env.keys().filter_map(|name| self.secret_header_problem(name)));
        if self.secret_env.is_some() && !self.secrets_env.is_empty() {
            let message = "`secret_env` and `secrets_env` say the same, use one of them";
            problems.push(problem("secrets_env", message));
        }
        problems.extend(self.content_type.as_deref().and_then(|text| self.content_type_problem(text)));
        problems
    }

    fn endpoint(&self) -> String {
        client::shown(&self.url)
    }

    async fn build(&self, context: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        let secret = |name: &String| context.environment.secret(&SecretRef::Env(name.clone()));
        let mut keys = Vec::new();
        for name in self.signing_names() {
            let key = Key::parse(secret(name)?.expose_secret());
            keys.push(
                key.map_err(|error| BuildError::Resource(format!("`{name}` is no signing key: {error}")))?,
            );
        }
        let mut headers = client::header_map(&self.headers)?;
        let mut secrets = Vec::new();
        for (name, variable) in &self.headers_env {
            let value = secret(variable)?;
            headers.insert(header_name(name)?, client::sensitive(value.expose_secret(), variable)?);
            secrets.push(value);
        }
        if let Some(variable) = &self.token_env {
            let token = secret(variable)?;
            headers.insert(header::AUTHORIZATION, client::bearer(&token, variable)?);
            secrets.push(token);
        }
        let content_type = self.content_type.as_deref().unwrap_or_else(|| self.body.content_type());
        headers.insert(header::CONTENT_TYPE, header_value(content_type)?);
        let timeout = Duration::from_secs(self.timeout_seconds);
        let to = Destination { url: &self.url, timeout, allow: &self.allow_networks, headers, secrets };
        Ok(Arc::new(HttpOutput {
            client: Client::new(context, to)?,
            body: self.body.clone(),
            json: is_json(content_type),
            keys,
            clock: context.clock,
        }))
    }
}

impl Config {
    fn signing_names(&self) -> impl Iterator<Item = &String> {
        self.secret_env.iter().chain(&self.secrets_env)
    }

    fn secret_header_problem(&self, name: &str) -> Option<Problem> {
        let lower = name.to_ascii_lowercase();
        let message = if header_name(name).is_err() {
            format!("`{name}` is not a header name")
        } else if client::is_reserved(&lower) {
            format!("`{name}` is set by hook or by HTTP and cannot be chosen")
        } else if lower == "authorization" && self.token_env.is_some() {
            "`token_env` sets `authorization` already".to_owned()
        } else if self.headers.keys().any(|have| have.eq_ignore_ascii_case(name)) {
            format!("`{name}` is in `headers` already")
        } else {
            return None;
        };
        Some(problem("headers_env", message))
    }

    fn content_type_problem(&self, text: &str) -> Option<Problem> {
        if !matches!(self.body, Body::Template(_)) {
            let message = "only a template's text has a media type of its own";
            return Some(problem("content_type", message));
        }
        let formed = header_value(text).is_ok()
            && text.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
        (!formed).then(|| {
            problem("content_type", format!("`{text}` is not a media type, expected such as `text/plain`"))
        })
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

fn header_name(name: &str) -> Result<HeaderName, BuildError> {
    name.parse().map_err(|_| BuildError::Resource(format!("`{name}` is not a header name")))
}

fn header_value(value: &str) -> Result<HeaderValue, BuildError> {
    HeaderValue::from_str(value)
        .map_err(|_| BuildError::Resource(format!("`{value}` cannot be sent in a header")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::context;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_the_contract_can_get_wrong() {
        let check = |keys: &str, expect: &[&str]| {
            let url = if keys.contains("url =") { "" } else { "url = 'https://example.com/in'\n" };
            let problems = config(&format!("{url}{keys}")).check();
            let found: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
            assert_eq!(found, expect, "{keys}: {problems:?}");
        };
        check("", &[]);
        check("url = 'http://127.0.0.1:9/'", &["url"]);
        check("url = 'http://127.0.0.1:9/'\nallow_networks = ['127.0.0.0/8']", &[]);
        check("url = 'http://localhost:9/'", &["url"]);
        check("timeout_seconds = 0", &["timeout_seconds"]);
        check("secret_env = 'A'\nsecrets_env = ['B']", &["secrets_env"]);
        check("content_type = 'text/plain'", &["content_type"]);
        check("content_type = 'plain'\nbody = '{{ id }}'", &["content_type"]);
        check("content_type = 'text/plain'\nbody = '{{ id }}'", &[]);
        check("headers = { authorization = 'x', 'webhook-id' = 'y' }", &["headers", "headers"]);
        check("headers_env = { 'x-api-key' = 'KEY' }", &[]);
        check("headers_env = { 'host' = 'KEY' }", &["headers_env"]);
        check("headers = { 'X-A' = 'x' }\nheaders_env = { 'x-a' = 'KEY' }", &["headers_env"]);
        check("token_env = 'T'\nheaders_env = { authorization = 'KEY' }", &["headers_env"]);
    }

    #[test]
    fn what_is_no_config() {
        for text in [
            "",
            "url = 'nonsense'",
            "url = 'https://a.b/'\nbody = 'envelop'",
            "url = 'https://a.b/'\nurI = 1",
        ] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_secret_is_named() {
        let config = config(
            "url = 'https://a.b/'\nsecrets_env = ['NEW', 'OLD']\ntoken_env = 'T'\nheaders_env = { 'x-k' = 'K' }",
        );
        let names: Vec<String> = config.secrets().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["NEW", "OLD", "T", "K"]);
    }

    #[tokio::test]
    async fn a_missing_or_unusable_secret_builds_nothing() {
        let build = async |keys: &str, variables: &[(&str, &str)]| {
            let config = config(&format!("url = 'https://a.b/'\n{keys}"));
            config.build(&context(variables)).await.err().map(|error| error.to_string())
        };
        assert_eq!(build("", &[]).await, None);
        assert!(build("secret_env = 'S'", &[]).await.unwrap().contains("`S` is not set"));
        let error = build("secret_env = 'S'", &[("S", "whsec_***")]).await.unwrap();
        assert!(error.contains("`S` is no signing key") && !error.contains("***"), "{error}");
        let error = build("token_env = 'T'", &[("T", "a\nb")]).await.unwrap();
        assert!(error.contains("`T`") && !error.contains("a\nb"), "{error}");
    }
}
