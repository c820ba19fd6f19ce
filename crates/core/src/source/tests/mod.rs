//! The engine, tried on the data: what every test file shares.

mod body;
mod contract;
mod handshakes;
mod keys;
mod presets;
mod random;
mod schemes;
mod transport;

use bytes::Bytes;
use hook_event::Entropy;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use toml::{Spanned, de::DeValue};

use super::*;

/// A fixed generator: ids in tests need not differ.
pub(super) const ENTROPY: Entropy = Entropy::of(|bytes| bytes.fill(7));

/// A private key whose public half is [`ED25519_PUBLIC`].
pub(super) const ED25519_PRIVATE: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// The source called `test`, of the keys of `[sources.test]` and these variables.
pub(super) fn source(toml: &str, variables: &[(&str, &str)]) -> Source {
    let plan = plan(toml).unwrap();
    assert_eq!(check(&plan), [], "{toml}");
    Source::build("test", &plan, &environment(variables)).unwrap()
}

pub(super) fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

pub(super) fn plan(toml: &str) -> Result<SourcePlan, toml::de::Error> {
    let table = toml::de::DeTable::parse(toml).unwrap();
    parse("test", Spanned::new(0..toml.len(), DeValue::Table(table.into_inner())))
}

/// A `POST` of `body` with these headers.
pub(super) fn post(body: impl Into<Bytes>, headers: &[(&str, &str)]) -> RawEvent {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    RawEvent {
        source: "test".to_owned(),
        adapter: "http-ingress".into(),
        method: Method::POST,
        path: "/webhook/test".to_owned(),
        query: None,
        headers: map,
        body: body.into(),
        transport: None,
        peer: None,
        received_at: at(0),
    }
}

/// A `POST` of `body` as the source's own provider would sign it.
pub(super) fn signed(source: &Source, body: &str, now: Timestamp, event: Option<&str>) -> RawEvent {
    let mut raw = post(body.to_owned(), &[]);
    raw.headers.extend(source.sign(body.as_bytes(), now, ENTROPY, event));
    raw
}

pub(super) fn unverified(result: Result<Verified, Refusal>) -> bool {
    matches!(result, Err(Refusal::Unverified(_)))
}

/// The one event of a request that has to be good.
pub(super) fn draft(source: &Source, raw: RawEvent, now: Timestamp) -> Result<Draft, Refusal> {
    let mut drafts = source.normalize(source.verify(raw, now)?)?;
    assert_eq!(drafts.len(), 1);
    Ok(drafts.remove(0))
}
