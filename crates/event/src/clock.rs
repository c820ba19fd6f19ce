//! The two things a pure program has to be given: the time and randomness.
//!
//! INVARIANT: nothing else in the workspace reads the wall clock or the random
//! generator (`clippy.toml` refuses it), so every decision can be repeated in a
//! test by passing other values.

use std::cell::Cell;

use jiff::Timestamp;

/// Where the wall-clock time comes from.
#[derive(Clone, Copy, Debug)]
pub struct Clock(fn() -> Timestamp);

impl Clock {
    /// The machine's clock.
    pub const SYSTEM: Self = Self(system_now);

    /// A clock that a test decides.
    pub const fn of(now: fn() -> Timestamp) -> Self {
        Self(now)
    }

    /// The time now.
    pub fn now(self) -> Timestamp {
        (self.0)()
    }
}

/// Where random bytes come from.
#[derive(Clone, Copy, Debug)]
pub struct Entropy(fn(&mut [u8]));

impl Entropy {
    /// The operating system's generator.
    pub const SYSTEM: Self = Self(system_fill);

    /// A generator that a test decides.
    pub const fn of(fill: fn(&mut [u8])) -> Self {
        Self(fill)
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// A number between 0 and 1, for jitter.
    pub fn fraction(self) -> f64 {
        let bits = u64::from_le_bytes(self.bytes()) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn system_now() -> Timestamp {
    Timestamp::now()
}

/// Random bytes that a thread draws at once, since asking the operating system for a
/// few takes as long as for many.
const DRAWN: usize = 512;

/// Drawn bytes, and how many of them were given out.
type Drawn = ([u8; DRAWN], usize);

thread_local! {
    static LEFT: Cell<Drawn> = const { Cell::new(([0; DRAWN], DRAWN)) };
}

fn system_fill(bytes: &mut [u8]) {
    if bytes.len() > DRAWN {
        return draw(bytes);
    }
    let (mut drawn, mut given) = LEFT.replace(([0; DRAWN], DRAWN));
    if given + bytes.len() > DRAWN {
        draw(&mut drawn);
        given = 0;
    }
    let end = given + bytes.len();
    bytes.copy_from_slice(&drawn[given..end]);
    // What was given out is nowhere else.
    drawn[given..end].fill(0);
    LEFT.set((drawn, end));
}

#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
#[expect(clippy::expect_used, reason = "a machine without randomness cannot make ids")]
fn draw(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system provides randomness");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_bytes_are_given_out_twice() {
        let here = (0..1000).map(|_| Entropy::SYSTEM.bytes::<10>());
        let there =
            std::thread::spawn(|| (0..1000).map(|_| Entropy::SYSTEM.bytes::<10>()).collect::<Vec<_>>());
        let all: BTreeSet<_> = here.chain(there.join().unwrap()).collect();
        assert_eq!(all.len(), 2000);
    }

    #[test]
    fn more_than_is_drawn_at_once_can_be_had() {
        assert!(Entropy::SYSTEM.bytes::<{ DRAWN * 2 }>().iter().any(|byte| *byte != 0));
    }
}
