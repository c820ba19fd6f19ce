//! Rates: how many requests a peer, and how many verified ones a source, may send.
//!
//! A whole minute's worth may come at once; after that it trickles. The source's
//! quota is spent by verified requests only, so nobody without its secret can use it up.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use crate::ports::Refusal;

/// Checks between two clean-ups of peers that have been quiet.
const CLEAN_EVERY: u32 = 4096;

/// Requests of each peer, before anything of them is believed.
pub(super) struct PeerRate {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    checks: AtomicU32,
}

/// Verified requests of one source.
pub(super) struct SourceRate {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl PeerRate {
    pub(super) fn per_minute(requests: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(requests)),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    pub(super) fn check(&self, peer: IpAddr) -> Result<(), Refusal> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&one_customer(peer)).map_err(|not_until| Refusal::RateLimited {
            scope: "peer",
            after: not_until.wait_time_from(self.clock.now()),
        })
    }
}

impl SourceRate {
    pub(super) fn per_minute(requests: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::direct(Quota::per_minute(requests)), clock: DefaultClock::default() }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        self.limiter.check().map_err(|not_until| Refusal::RateLimited {
            scope: "source",
            after: not_until.wait_time_from(self.clock.now()),
        })
    }
}

/// One customer usually holds a whole IPv6 /64, so that is what is counted.
fn one_customer(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_quota() {
        let two = NonZeroU32::new(2).unwrap();
        for (peers, refused) in [
            (["10.0.0.1", "10.0.0.1", "10.0.0.1"], true),
            (["10.0.0.1", "10.0.0.1", "10.0.0.2"], false),
            (["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"], true),
            (["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3"], true),
            (["2001:db8::1", "2001:db8::2", "2001:db8:0:1::3"], false),
        ] {
            let rate = PeerRate::per_minute(two);
            let answers = peers.map(|peer| rate.check(peer.parse().unwrap()));
            assert_eq!(answers[..2], [Ok(()), Ok(())], "{peers:?}");
            assert_eq!(answers[2].is_err(), refused, "{peers:?}");
        }
    }

    #[test]
    fn quiet_peers_are_forgotten() {
        let rate = PeerRate::per_minute(NonZeroU32::new(60_000_000).unwrap());
        for n in 0..3 * CLEAN_EVERY {
            rate.check(std::net::Ipv4Addr::from_bits(n).into()).unwrap();
        }
        assert!(rate.limiter.len() < 2 * CLEAN_EVERY as usize, "{} remembered", rate.limiter.len());
    }
}
