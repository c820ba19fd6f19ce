//! Durations and sizes as people write them: `7d`, `20GiB`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};

/// A duration such as `90s`, `15m`, `2h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]+(s|m|h|d)$"))]
pub(super) struct Age(pub(super) Duration);

/// A size such as `512MiB`, `20GiB`, `1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]+(B|KiB|MiB|GiB|TiB)?$"))]
pub(super) struct Size(pub(super) u64);

impl Age {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        Some(Self(Duration::from_secs(number.checked_mul(seconds)?)))
    }
}

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return None,
        };
        Some(Self(number.checked_mul(1 << shift)?))
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no duration: write `90s`, `15m`, `2h` or `7d`"))
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no size: write `1000`, `512MiB` or `20GiB`"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, seconds) in
            [("90s", Some(90)), ("7d", Some(604_800)), ("0s", Some(0)), ("7", None), ("d", None)]
        {
            assert_eq!(Age::parse(text).map(|age| age.0.as_secs()), seconds, "{text}");
        }
        for (text, bytes) in
            [("1000", Some(1000)), ("20GiB", Some(20 << 30)), ("1 KiB", Some(1024)), ("5GB", None)]
        {
            assert_eq!(Size::parse(text).map(|size| size.0), bytes, "{text}");
        }
        assert_eq!(Age::parse("99999999999999999999d"), None);
        assert_eq!(Size::parse("18446744073709551615TiB"), None);
    }
}
