//! Who sent a request, when proxies stand in between.
//!
//! `X-Forwarded-For` is written by whoever likes to; only what a trusted proxy
//! appended is true. So it is read from the right, and the first address that is
//! not a trusted proxy is the sender, whatever stands left of it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::guard::Networks;

/// The sender's address.
pub(super) fn sender(socket: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut peer = socket.to_canonical();
    let lines: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("")).collect();
    let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    while trusted.contains(peer) {
        let Some(hop) = hops.next().and_then(address) else { break };
        peer = hop.to_canonical();
    }
    peer
}

/// An address as proxies write it: with or without a port, brackets for IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn networks(trusted: &[&str]) -> Networks {
        Networks::deserialize(json!(trusted)).unwrap()
    }

    fn headers(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (http::HeaderName::from_static("x-forwarded-for"), line.parse().unwrap()))
            .collect()
    }

    #[test]
    fn who_sent_it() {
        let check = |socket: &str, lines: &[&str], trusted: &[&str], expect: &str| {
            let peer = sender(socket.parse().unwrap(), &headers(lines), &networks(trusted));
            assert_eq!(peer.to_string(), expect, "{lines:?}");
        };
        let proxies = &["10.0.0.0/8", "fd00::/8"][..];
        check("203.0.113.9", &["1.2.3.4"], &[], "203.0.113.9");
        check("203.0.113.9", &["1.2.3.4"], proxies, "203.0.113.9");
        check("10.0.0.1", &[], proxies, "10.0.0.1");
        check("10.0.0.1", &["1.2.3.4"], proxies, "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4"], proxies, "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], proxies, "1.2.3.4");
        check("10.0.0.1", &["6.6.6.6", "1.2.3.4, 10.0.0.2"], proxies, "1.2.3.4");
        check("10.0.0.1", &["10.0.0.3,10.0.0.2"], proxies, "10.0.0.3");
        check("10.0.0.1", &["1.2.3.4:5555"], proxies, "1.2.3.4");
        check("10.0.0.1", &["[2606::1]:443"], proxies, "2606::1");
        check("10.0.0.1", &["[2606::1]"], proxies, "2606::1");
        check("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], proxies, "10.0.0.2");
        check("10.0.0.1", &["garbage"], proxies, "10.0.0.1");
        check("10.0.0.1", &[""], proxies, "10.0.0.1");
        check("::ffff:10.0.0.1", &["1.2.3.4"], proxies, "1.2.3.4");
        check("fd00::1", &["::ffff:1.2.3.4"], proxies, "1.2.3.4");
    }

    proptest! {
        #[test]
        fn nothing_left_of_the_sender_matters(forged in "[ -~]{0,80}") {
            let line = format!("{forged}, 1.2.3.4, 10.0.0.2");
            let peer = sender("10.0.0.1".parse().unwrap(), &headers(&[&line]), &networks(&["10.0.0.0/8"]));
            prop_assert_eq!(peer.to_string(), "1.2.3.4");
        }
    }
}
