//! The trace that an event belongs to (W3C Trace Context).

use hook_event::Entropy;
use http::HeaderMap;

/// The sender's trace id when it sent a valid `traceparent`, else a new one.
pub(super) fn trace_id(headers: &HeaderMap, entropy: Entropy) -> String {
    let sent = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(parse);
    sent.map_or_else(|| hex::encode(entropy.bytes::<16>()), str::to_owned)
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, lowercase, ids not all zero; later versions may append.
fn parse(header: &str) -> Option<&str> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let shaped = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    let allowed = version != "ff" && (version != "00" || parts.next().is_none());
    (shaped && allowed && !zero(trace) && !zero(span)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_taken_over() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
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
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), header.parse().unwrap())]);
            let id = trace_id(&headers, Entropy::SYSTEM);
            assert_eq!(id == TRACE, taken, "{header}");
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }
}
