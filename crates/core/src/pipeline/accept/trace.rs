//! The trace that an event belongs to (W3C Trace Context).

use hook_event::{Entropy, trace};
use http::HeaderMap;

/// The sender's trace id when it sent a valid `traceparent`, else a new one.
pub(super) fn trace_id(headers: &HeaderMap, entropy: Entropy) -> String {
    let sent = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(trace::trace_id);
    sent.map_or_else(|| hex::encode(entropy.bytes::<16>()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_taken_over() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (header, taken) in
            [("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true), ("", false)]
        {
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), header.parse().unwrap())]);
            let id = trace_id(&headers, Entropy::SYSTEM);
            assert_eq!(id == TRACE, taken, "{header}");
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }
}
