//! The names in certificates, checked where they are typed.

use std::{fmt, net::IpAddr, str::FromStr};

/// What a server is reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

/// What a client is known by: its common name, and part of its file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientName(String);

impl Host {
    /// This machine, by each of its own names.
    pub(crate) fn local() -> Vec<Self> {
        let addresses = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        [Self::Name("localhost".to_owned())].into_iter().chain(addresses.map(Self::Address)).collect()
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let labels = text.strip_prefix("*.").unwrap_or(text).split('.');
        let looks_like_an_address =
            text.split('.').next_back().is_some_and(|last| last.parse::<u64>().is_ok());
        if text.len() > 253 || looks_like_an_address || !labels.into_iter().all(is_label) {
            return Err(format!(
                "`{text}` is neither a host's name nor an IP address: write `kafka.internal`, `*.internal`, `10.0.0.5` or `::1`, without scheme, port or brackets"
            ));
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    let edges = [label.chars().next(), label.chars().next_back()];
    (1..=63).contains(&label.len())
        && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
        && edges.iter().all(|edge| *edge != Some('-'))
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letters = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        let first = text.chars().next().is_some_and(|letter| letter.is_ascii_alphanumeric());
        match letters && first && text.len() <= 64 {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "`{text}` is no client's name: up to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit"
            )),
        }
    }
}

impl Default for ClientName {
    fn default() -> Self {
        Self("hook".to_owned())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
