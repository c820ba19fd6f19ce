//! The body of `POST /hooks/agent`, never larger than the gateway takes.
//!
//! INVARIANT: a pure function of the event; no clock and no randomness.

use bytes::Bytes;
use hook_core::{
    expr::{Template, View},
    ports::{DeliverError, Failure},
};
use hook_event::Event;
use serde::Serialize;

use super::{
    config::{SessionMode, WakeMode},
    message::{self, Message},
};
use crate::body::not_rendered;

/// The largest body that the gateway reads.
pub(super) const LIMIT_BYTES: usize = 256 << 10;

/// How an event becomes a body.
pub(super) struct Wire {
    pub(super) message: Message,
    pub(super) session_key: Option<Template>,
    pub(super) fixed: Fixed,
}

/// The fields that are the same for every event.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fixed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_mode: Option<SessionMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deliver: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wake_mode: Option<WakeMode>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentCall<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<&'a str>,
    #[serde(flatten)]
    fixed: &'a Fixed,
}

impl Wire {
    /// The body for an event.
    pub(super) fn encode(&self, event: &Event) -> Result<Bytes, DeliverError> {
        let session_key = self.session_key(event)?;
        let call = |message: &str| {
            let call = AgentCall { message, session_key: session_key.as_deref(), fixed: &self.fixed };
            serde_json::to_vec(&call).map_err(|error| refuse(format!("no JSON can be made of it: {error}")))
        };
        let room = LIMIT_BYTES.saturating_sub(call("")?.len());
        let message = message::write(&self.message, event, room)?;
        Ok(call(&message)?.into())
    }

    fn session_key(&self, event: &Event) -> Result<Option<String>, DeliverError> {
        let Some(template) = &self.session_key else { return Ok(None) };
        let key = template.render(&View::of(event)).map_err(|error| not_rendered(&error))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(refuse("`session_key` gives an empty text for this event".to_owned()));
        }
        Ok(Some(key.to_owned()))
    }
}

pub(super) fn refuse(reason: String) -> DeliverError {
    DeliverError::Refused(Failure::because(reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::event;

    fn wire(message: Message) -> Wire {
        Wire { message, session_key: None, fixed: Fixed::default() }
    }

    fn text(template: &str) -> Message {
        Message::Template(Template::parse(template).unwrap())
    }

    fn message_of(body: &[u8]) -> String {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap();
        json["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn only_what_the_contract_says_is_sent() {
        let event = event(br#"{"number":7}"#);
        let body = wire(text("PR #{{ payload.number }}")).encode(&event).unwrap();
        assert_eq!(body, &br#"{"message":"PR #7"}"#[..]);

        let fixed = Fixed {
            name: Some("Reviews".into()),
            agent_id: Some("main".into()),
            session_mode: Some(SessionMode::Persistent),
            deliver: Some(false),
            channel: Some("slack".into()),
            to: Some("#ops".into()),
            wake_mode: Some(WakeMode::NextHeartbeat),
            timeout_seconds: Some(60),
            ..Fixed::default()
        };
        let key = Some(Template::parse(" pr-{{ payload.number }} ").unwrap());
        let body = Wire { message: text("x"), session_key: key, fixed }.encode(&event).unwrap();
        let expect = r##"{"message":"x","sessionKey":"pr-7","name":"Reviews","agentId":"main","sessionMode":"persistent","deliver":false,"channel":"slack","to":"#ops","timeoutSeconds":60,"wakeMode":"next-heartbeat"}"##;
        assert_eq!(std::str::from_utf8(&body).unwrap(), expect);
    }

    #[test]
    fn an_empty_message_or_key_is_refused() {
        let event = event(br#"{"title":"  "}"#);
        let refused = |wire: Wire| matches!(wire.encode(&event), Err(DeliverError::Refused(_)));
        assert!(refused(wire(text("{{ payload.title }}"))));
        assert!(refused(wire(text("{{ payload.a.b }}"))));
        let key = Some(Template::parse("{{ payload.title }}").unwrap());
        assert!(refused(Wire { session_key: key, ..wire(text("x")) }));
    }

    #[test]
    fn too_long_is_cut_and_said() {
        for filler in ["a", "é", "\u{1f600}", "\"", "\u{1}"] {
            let payload = serde_json::to_vec(&serde_json::json!({ "t": filler.repeat(300_000) })).unwrap();
            let event = event(&payload);
            for message in [Message::Default, text("{{ payload.t }}")] {
                let body = wire(message).encode(&event).unwrap();
                assert!(body.len() <= LIMIT_BYTES, "{} bytes of {filler:?}", body.len());
                assert!(body.len() > LIMIT_BYTES - 64, "only {} bytes of {filler:?}", body.len());
                assert!(message_of(&body).contains("was cut"), "{filler:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_same_event_makes_the_same_bytes_within_the_limit(title in ".{0,400}", times in 0_usize..2_000) {
            let payload = serde_json::to_vec(&serde_json::json!({ "title": title.repeat(times) })).unwrap();
            let event = event(&payload);
            let (first, second) = (wire(Message::Default).encode(&event), wire(Message::Default).encode(&event));
            let body = first.unwrap();
            prop_assert_eq!(&body, &second.unwrap());
            prop_assert!(body.len() <= LIMIT_BYTES);
            prop_assert!(!message_of(&body).is_empty());
        }
    }
}
