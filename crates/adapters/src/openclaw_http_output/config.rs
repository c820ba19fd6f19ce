//! The keys of `openclaw_http_output`; their docs are the user's reference.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use hook_core::{
    driver::{BuildContext, BuildError, EgressConfig, Problem},
    expr::Template,
    ports::Egress,
    secret::SecretRef,
};
use http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::Url;

use super::{
    deliver::OpenClaw,
    message::Message,
    wire::{Fixed, Wire},
};
use crate::{
    client::{self, Client, Destination, check_url},
    guard::Networks,
    row::{self, as_settings, at_least_one, problem},
};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The gateway's endpoint: `http://127.0.0.1:18789/hooks/agent`.
    #[schemars(with = "String")]
    url: Url,
    /// The environment variable of the gateway's `hooks.token`.
    token_env: String,
    /// Seconds that one attempt may take; the gateway answers within 15.
    #[serde(default = "row::default_timeout_seconds")]
    timeout_seconds: u64,
    /// What the agent is told, as a template. Without one it is told who sent what
    /// about which subject, and the payload in a marked block. More than the gateway
    /// takes (256 KiB) is cut, and the agent is told so.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    message: Option<Text>,
    /// The name that the run is shown under.
    #[serde(default)]
    name: Option<String>,
    /// The agent that is woken; the gateway's default without.
    #[serde(default)]
    agent_id: Option<String>,
    /// The session's key, as a template: `pr-{{ payload.number }}`. Events with one
    /// key are handled one after the other. The gateway must allow it.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    session_key: Option<Text>,
    /// Whether the session lives on after the run; needs `session_key` if it does.
    #[serde(default)]
    session_mode: Option<SessionMode>,
    /// Whether the agent's answer is sent to a chat.
    #[serde(default)]
    deliver: Option<bool>,
    /// The chat channel that the answer is sent to; together with `to`.
    #[serde(default)]
    channel: Option<String>,
    /// Whom in the channel the answer is sent to; together with `channel`.
    #[serde(default)]
    to: Option<String>,
    /// The channel's account that the answer is sent from; needs `channel` and `to`.
    #[serde(default)]
    account_id: Option<String>,
    /// The model of the run.
    #[serde(default)]
    model: Option<String>,
    /// How much the model thinks, such as `low`, `medium` or `high`.
    #[serde(default)]
    thinking: Option<String>,
    /// Seconds that the agent's run may take.
    #[serde(default)]
    run_timeout_seconds: Option<u64>,
    /// When the agent's main session hears of the run.
    #[serde(default)]
    wake_mode: Option<WakeMode>,
    /// Networks that may be called besides the public internet. Loopback unless
    /// written, because that is where a gateway usually listens.
    #[serde(default = "Networks::loopback")]
    #[schemars(with = "Vec<String>")]
    allow_networks: Networks,
}

/// How long a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SessionMode {
    /// For one run.
    Isolated,
    /// For all runs with its key.
    Persistent,
}

/// When the agent's main session hears of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WakeMode {
    /// At once.
    Now,
    /// When it looks next.
    NextHeartbeat,
}

/// A text of the contract with `{{ … }}` in it.
#[derive(Clone)]
pub(super) struct Text(Template);

#[async_trait]
impl EgressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn secrets(&self) -> Vec<SecretRef> {
        vec![SecretRef::Env(self.token_env.clone())]
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = check_url(&self.url, &self.allow_networks);
        problems.extend(at_least_one("timeout_seconds", self.timeout_seconds));
        problems
            .extend(self.run_timeout_seconds.and_then(|value| at_least_one("run_timeout_seconds", value)));
        problems.extend(self.chat_problem());
        if self.session_mode == Some(SessionMode::Persistent) && self.session_key.is_none() {
            problems.push(problem("session_mode", "a persistent session also needs `session_key`"));
        }
        problems.extend(self.texts().into_iter().filter_map(|(key, text)| {
            let blank = text.as_ref().is_some_and(|text| text.trim().is_empty());
            blank.then(|| problem(key, format!("`{key}` is empty, which the gateway refuses; leave it out")))
        }));
        problems
    }

    fn endpoint(&self) -> String {
        client::shown(&self.url)
    }

    async fn build(&self, context: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        let token = context.environment.secret(&SecretRef::Env(self.token_env.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, client::bearer(&token, &self.token_env)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let timeout = Duration::from_secs(self.timeout_seconds);
        let to = Destination {
            url: &self.url,
            timeout,
            allow: &self.allow_networks,
            headers,
            secrets: vec![token],
        };
        Ok(Arc::new(OpenClaw {
            client: Client::new(context, to)?,
            adapter: context.id.clone(),
            wire: Wire {
                message: self
                    .message
                    .as_ref()
                    .map_or(Message::Default, |text| Message::Template(text.0.clone())),
                session_key: self.session_key.as_ref().map(|text| text.0.clone()),
                fixed: self.fixed(),
            },
        }))
    }
}

impl Config {
    fn texts(&self) -> [(&'static str, &Option<String>); 7] {
        [
            ("name", &self.name),
            ("agent_id", &self.agent_id),
            ("channel", &self.channel),
            ("to", &self.to),
            ("account_id", &self.account_id),
            ("model", &self.model),
            ("thinking", &self.thinking),
        ]
    }

    /// The gateway takes a chat whole or not at all.
    fn chat_problem(&self) -> Option<Problem> {
        let (key, message) = match (&self.channel, &self.to, &self.account_id) {
            (Some(_), None, _) => ("channel", "`channel` also needs `to`"),
            (None, Some(_), _) => ("to", "`to` also needs `channel`"),
            (None, None, Some(_)) => ("account_id", "`account_id` also needs `channel` and `to`"),
            (Some(channel), _, _) if channel == "last" => {
                ("channel", "`last` works in the gateway's mappings only, name a channel")
            }
            _ => return None,
        };
        Some(problem(key, message))
    }

    fn fixed(&self) -> Fixed {
        Fixed {
            name: self.name.clone(),
            agent_id: self.agent_id.clone(),
            session_mode: self.session_mode,
            deliver: self.deliver,
            channel: self.channel.clone(),
            to: self.to.clone(),
            account_id: self.account_id.clone(),
            model: self.model.clone(),
            thinking: self.thinking.clone(),
            timeout_seconds: self.run_timeout_seconds,
            wake_mode: self.wake_mode,
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Err(D::Error::custom("the text is empty, leave the key out or write one"));
        }
        Template::parse(&text).map(Self).map_err(D::Error::custom)
    }
}

/// As the contract writes it.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = r#"
url = "http://127.0.0.1:18789/hooks/agent"
token_env = "OPENCLAW_WEBHOOK_TOKEN"
timeout_seconds = 20
"#;

    #[test]
    fn what_the_contract_can_get_wrong() {
        let check = |keys: &str, expect: &[&str]| {
            let config: Config = toml::from_str(&format!("{SEED}{keys}")).unwrap();
            let found: Vec<&str> = config.check().iter().map(|problem| problem.key).collect();
            assert_eq!(found, expect, "{keys}");
        };
        check("", &[]);
        check("channel = 'slack'", &["channel"]);
        check("to = '#ops'", &["to"]);
        check("channel = 'slack'\nto = '#ops'", &[]);
        check("channel = 'last'\nto = '#ops'", &["channel"]);
        check("account_id = 'a'", &["account_id"]);
        check("account_id = 'a'\nchannel = 'slack'\nto = '#ops'", &[]);
        check("model = ' '\nname = ''", &["name", "model"]);
        check("session_mode = 'persistent'", &["session_mode"]);
        check("session_mode = 'persistent'\nsession_key = 'pr-{{ payload.number }}'", &[]);
        check("run_timeout_seconds = 0", &["run_timeout_seconds"]);
        check("allow_networks = []", &["url"]);
        check("allow_networks = ['10.0.0.0/8']", &["url"]);
    }

    #[test]
    fn what_is_no_config() {
        for keys in [
            "message = ' '",
            "message = '{{ paylod.x }}'",
            "wake_mode = 'later'",
            "session_mode = 'x'",
            "mesage = 'x'",
        ] {
            assert!(toml::from_str::<Config>(&format!("{SEED}{keys}")).is_err(), "{keys}");
        }
    }
}
