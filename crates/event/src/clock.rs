//! The two things a pure program has to be given: the time and randomness.
//!
//! INVARIANT: nothing else in the workspace reads the wall clock or the random
//! generator (`clippy.toml` refuses it), so every decision can be repeated in a
//! test by passing other values.

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

#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
#[expect(clippy::expect_used, reason = "a machine without randomness cannot make ids")]
fn system_fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system provides randomness");
}
