//! What an event becomes on the wire, for the drivers whose users choose.

use std::fmt;

use bytes::Bytes;
use hook_core::{
    expr::{ExprError, Template, View},
    ports::{DeliverError, Failure},
};
use hook_event::{Event, cloudevents};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny},
};

/// The forms of an event.
#[derive(Clone, Default)]
pub(crate) enum Body {
    /// The stored form.
    #[default]
    Envelope,
    /// The sender's bytes.
    Payload,
    /// CloudEvents 1.0, structured.
    CloudEvents,
    /// The contract's own text.
    Template(Box<Text>),
}

/// A template compiled both ways: the media type decides which is used.
#[derive(Clone)]
pub(crate) struct Text {
    plain: Template,
    json: Template,
}

impl Body {
    /// The media type, unless the contract names another for its template.
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::CloudEvents => cloudevents::CONTENT_TYPE,
            Self::Envelope | Self::Payload | Self::Template(_) => "application/json",
        }
    }

    /// The bytes for an event; the same bytes every time.
    ///
    /// A template that fails on an event will fail again, so that is a refusal, unless
    /// it was only slow.
    pub(crate) fn render(&self, event: &Event, json: bool) -> Result<Bytes, DeliverError> {
        let text = match self {
            Self::Envelope => return Ok(event.encode()),
            Self::Payload => return Ok(event.payload.clone()),
            Self::CloudEvents => return Ok(cloudevents::structured(event)),
            Self::Template(text) => text,
        };
        let template = if json { &text.json } else { &text.plain };
        let rendered = template.render(&View::of(event)).map_err(|error| not_rendered(&error))?;
        if json && serde_json::from_str::<IgnoredAny>(&rendered).is_err() {
            return Err(DeliverError::Refused(Failure::because("the template's text is not JSON")));
        }
        Ok(rendered.into())
    }
}

/// A template's failure, as a delivery's.
pub(crate) fn not_rendered(error: &ExprError) -> DeliverError {
    let failure = Failure::because(format!("the template fails on this event: {error}"));
    match error.timed_out {
        true => DeliverError::Failed(failure),
        false => DeliverError::Refused(failure),
    }
}

/// JSON on one line. A line end in valid JSON is white space between tokens, never
/// part of a string, so a blank in its place changes nothing.
pub(crate) fn one_line(json: Bytes) -> Bytes {
    if !json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return json;
    }
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "envelope" => Ok(Self::Envelope),
            "payload" => Ok(Self::Payload),
            "cloudevents" => Ok(Self::CloudEvents),
            template if template.contains("{{") || template.contains("{%") => {
                let plain = Template::parse(template).map_err(D::Error::custom)?;
                let json = Template::parse_json(template).map_err(D::Error::custom)?;
                Ok(Self::Template(Box::new(Text { plain, json })))
            }
            other => Err(D::Error::custom(format!(
                "`{other}` is not a form of an event, expected `envelope`, `payload`, `cloudevents`, or a template such as `{{\"id\": {{{{ id }}}} }}`"
            ))),
        }
    }
}

/// As the contract writes it.
impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Template(text) => serializer.collect_str(&text.plain),
            named => serializer.collect_str(&format_args!("{named:?}")),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope => f.write_str("envelope"),
            Self::Payload => f.write_str("payload"),
            Self::CloudEvents => f.write_str("cloudevents"),
            Self::Template(text) => text.plain.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer, value::Error as ValueError};

    use super::*;
    use crate::testing::event;

    fn body(text: &str) -> Result<Body, String> {
        Body::deserialize(IntoDeserializer::<ValueError>::into_deserializer(text))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_form() {
        let event = event(br#"{"n": 7, "t": "a \"q\""}"#);
        let check = |text: &str, json: bool, expect: &[u8]| {
            assert_eq!(body(text).unwrap().render(&event, json).unwrap(), expect, "{text}");
        };
        check("envelope", true, &event.encode());
        check("payload", true, &event.payload);
        check("cloudevents", true, &cloudevents::structured(&event));
        check("{{ payload.n }}: {{ payload.t }}", false, b"7: a \"q\"");
        check(r#"{"text": {{ payload.t }}}"#, true, br#"{"text": "a \"q\""}"#);
    }

    #[test]
    fn what_is_no_form_lists_the_forms() {
        let error = body("envelop").unwrap_err();
        assert!(error.contains("`envelope`, `payload`, `cloudevents`"), "{error}");
        assert!(body("{{ paylod.n }}").unwrap_err().contains("`payload`"));
        assert!(body("{{ payload.n ").is_err());
    }

    #[test]
    fn a_template_that_cannot_work_is_refused() {
        let event = event(b"{}");
        for text in ["{{ payload.a.b }}", "{% if true %}not json{% endif %}"] {
            let result = body(text).unwrap().render(&event, true);
            assert!(matches!(result, Err(DeliverError::Refused(_))), "{text}: {result:?}");
        }
    }

    #[test]
    fn a_template_that_was_only_slow_is_tried_again() {
        let check = |timed_out, refused: bool| {
            let error = ExprError { message: "slow".into(), range: None, timed_out };
            assert_eq!(matches!(not_rendered(&error), DeliverError::Refused(_)), refused);
            assert_eq!(matches!(not_rendered(&error), DeliverError::Failed(_)), !refused);
        };
        check(true, false);
        check(false, true);
    }

    #[test]
    fn a_line_is_one_line_and_the_same_json() {
        let spread = Bytes::from_static(b"{\r\n \"a\": \"x\\ny\",\n\"b\": [1,\n2]\n}\n");
        let line = one_line(spread.clone());
        assert!(!line.contains(&b'\n'));
        let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(read(&line), read(&spread));
    }
}
