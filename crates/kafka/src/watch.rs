//! Whether a consumer that says nothing has nothing to say.
//!
//! Clients have been known to stop fetching without an error. The sign is that the
//! lanes it holds grow and nothing comes of them; what lies between its position and
//! the end is no sign, for that may be marks of transactions.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::cluster::LaneKey;

/// A consumer whose lanes grew so long ago, and of which nothing came since, is made anew.
const STARVED_AFTER: Duration = Duration::from_secs(180);

/// What was seen of a consumer.
#[derive(Default)]
pub(crate) struct Watch {
    received: u64,
    ends: HashMap<LaneKey, u64>,
    grown: Option<Instant>,
}

impl Watch {
    /// Whether it is starved, given how many records came so far and where its lanes end now.
    pub(crate) fn is_starved(&mut self, received: u64, ends: HashMap<LaneKey, u64>, now: Instant) -> bool {
        let others = ends.keys().any(|lane| !self.ends.contains_key(lane)) || ends.len() != self.ends.len();
        if received != self.received || others {
            *self = Self { received, ends, grown: None };
            return false;
        }
        if ends.iter().any(|(lane, end)| self.ends.get(lane).is_some_and(|before| before < end)) {
            self.grown.get_or_insert(now);
        }
        let starved = self.grown.is_some_and(|grown| now.duration_since(grown) >= STARVED_AFTER);
        if starved {
            *self = Self::default();
        }
        starved
    }
}

#[cfg(test)]
mod tests {
    use hook_log::Topic;

    use super::*;

    fn ends(of_first: u64, of_second: u64) -> HashMap<LaneKey, u64> {
        let lane = |number| (Topic::new("t").unwrap(), number);
        HashMap::from([(lane(0), of_first), (lane(1), of_second)])
    }

    #[test]
    fn only_lanes_that_grow_in_vain_are_a_sign() {
        let start = Instant::now();
        let minute = |minutes: u64| start + Duration::from_secs(60 * minutes);
        // Each: records received so far, the lanes' ends, the verdict.
        let check = |steps: &[(u64, HashMap<LaneKey, u64>, bool)]| {
            let mut watch = Watch::default();
            for (minutes, (received, ends, expected)) in (0..).zip(steps) {
                let starved = watch.is_starved(*received, ends.clone(), minute(minutes));
                assert_eq!(starved, *expected, "after {minutes} min");
            }
        };
        let still = || (7, ends(9, 9), false);
        check(&[still(), still(), still(), still(), still(), still()]);
        let grown = || (7, ends(9, 10), false);
        check(&[still(), grown(), grown(), grown(), (7, ends(9, 10), true), grown()]);
        check(&[still(), grown(), grown(), (8, ends(9, 10), false), (8, ends(9, 10), false)]);
        let fewer = || (7, ends(9, 10).into_iter().take(1).collect(), false);
        check(&[still(), grown(), grown(), grown(), fewer(), fewer(), fewer(), fewer()]);
    }
}
