//! `Retry-After`: seconds, or a date of HTTP. Capped at a day, so that no answer
//! can park an event for good.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

const CAP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait from `now`; none if the value is neither form.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(value.parse().map_or(CAP, Duration::from_secs).min(CAP));
    }
    let at = rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value).ok()?;
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Some(wait.min(CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let check = |value: &str, expect: Option<u64>| {
            assert_eq!(parse(value, now), expect.map(Duration::from_secs), "{value}");
        };
        check("0", Some(0));
        check("120", Some(120));
        check(" 7 ", Some(7));
        check("86401", Some(86_400));
        check("99999999999999999999999", Some(86_400));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
        check("Sun, 06 Nov 1994 08:49:07 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("Fri, 06 Nov 2099 08:49:37 GMT", Some(86_400));
        // A wrong day of the week does not make the date less clear.
        check("Mon, 06 Nov 1994 08:49:37 GMT", Some(30));
        check("-1", None);
        check("1.5", None);
        check("", None);
        check("soon", None);
        check("١٢", None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_longer_than_a_day(value: String, second in 0_i64..4_000_000_000) {
            let now = Timestamp::from_second(second).unwrap();
            proptest::prop_assert!(parse(&value, now).is_none_or(|wait| wait <= CAP));
        }
    }
}
