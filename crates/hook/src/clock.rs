//! Times that people write: an instant, or an age.

use jiff::{SignedDuration, Timestamp};

use crate::fault;

/// Reads `2026-11-21T10:00:00Z` or an age such as `90s`, `15m`, `2h`, `7d`.
pub(crate) fn parse(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let age = age(text).ok_or_else(|| {
        fault::usage(format!("`{text}` is no time: write RFC 3339 (`2026-11-21T10:00:00Z`) or an age (`90s`, `15m`, `2h`, `7d`)"))
    })?;
    Ok(now - age)
}

/// The same for an option that may be absent.
pub(crate) fn parse_opt(text: Option<&str>, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    text.map(|text| parse(text, now)).transpose()
}

fn age(text: &str) -> Option<SignedDuration> {
    let split = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(SignedDuration::from_secs(number.parse::<i64>().ok()?.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_ages() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (text, seconds) in [("90s", 999_910), ("2h", 992_800), ("1970-01-01T00:00:10Z", 10)] {
            assert_eq!(parse(text, now).unwrap().as_second(), seconds, "{text}");
        }
        for text in ["", "5", "h", "5y", "-5m", "99999999999999999999d"] {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }
}
