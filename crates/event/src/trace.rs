//! W3C Trace Context: the `traceparent` that came with an event, and the one that
//! goes on with it.

use crate::Event;

/// The trace id of a `traceparent`, if it is a whole one:
/// `00-<32 hex>-<16 hex>-<2 hex>`, lowercase, ids not all zero; later versions may
/// append.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let shaped = hex(version, 2) && is_id(trace, 32) && is_id(span, 16) && hex(flags, 2);
    let allowed = version != "ff" && (version != "00" || parts.next().is_none());
    (shaped && allowed).then_some(trace)
}

/// The `traceparent` of an event whose trace id is one.
///
/// The span is made of the event's id, so that every attempt says the same.
pub fn traceparent(event: &Event) -> Option<String> {
    let trace = event.meta.trace_id.as_deref().filter(|trace| is_id(trace, 32))?;
    let [.., a, b, c, d, e, f, g, h] = *event.id.as_bytes();
    let span = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Some(format!("00-{trace}-{span:016x}-01"))
}

fn is_id(text: &str, length: usize) -> bool {
    hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

fn hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::{Entropy, EventId, Meta};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_a_whole_traceparent_has_a_trace_id() {
        for (header, taken) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00-4bf9-00f067aa0ba902b7-01", false),
            ("", false),
        ] {
            assert_eq!(trace_id(header), taken.then_some(TRACE), "{header}");
        }
    }

    #[test]
    fn only_a_trace_id_makes_a_traceparent() {
        let check = |trace: &str, expect: Option<&str>| {
            let event = Event {
                id: EventId::new(Timestamp::UNIX_EPOCH, Entropy::of(|bytes| bytes.fill(0xab))),
                source: "github".into(),
                event_type: "push".into(),
                received_at: Timestamp::UNIX_EPOCH,
                meta: Meta { trace_id: Some(trace.into()), ..Meta::default() },
                payload: Bytes::from_static(b"{}"),
            };
            assert_eq!(traceparent(&event).as_deref(), expect, "{trace}");
        };
        check(TRACE, Some("00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01"));
        check("4BF92F3577B34DA6A3CE929D0E0E4736", None);
        check("00000000000000000000000000000000", None);
        check("4bf92f35", None);
        check("t", None);
    }
}
