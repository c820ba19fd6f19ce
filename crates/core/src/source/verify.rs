//! Believing a request: the one way to a [`Verified`].
//!
//! Works on the raw bytes, before anything else reads them. The signature is
//! checked first and the time after it, so a body is only ever read for its
//! timestamp when its sender is known, unless the timestamp itself is signed over.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hook_event::standard_webhooks as standard;
use jiff::Timestamp;

use super::{
    Source,
    content::Name,
    key::Key,
    request::Request,
    spec::{Algorithm, Encoding, TimestampRule, Unit},
};
use crate::ports::Refusal;

/// More than any rotation needs; the rest would only cost time.
const MOST_SIGNATURES: usize = 32;

pub(super) const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Source {
    /// The scheme and the secret's name that the request was verified by.
    pub(super) fn believe(&self, request: &Request, now: Timestamp) -> Result<String, Refusal> {
        match (self.spec.algorithm, &request.raw.transport) {
            (Algorithm::None, _) => return Ok(Algorithm::None.name().to_owned()),
            (Algorithm::Transport, Some(proof)) => return Ok(format!("transport:{}", proof.by)),
            (Algorithm::Transport, None) => {
                let why = "this source sends through an ingress that knows its senders, and this is none";
                return Err(unverified(why.to_owned()));
            }
            _ => {}
        }
        let values = self.header_values(request)?;
        let secret = match self.spec.algorithm {
            Algorithm::StandardWebhooks => self.standard(request, &values)?,
            _ => self.signed_by(request, &values)?,
        };
        if let Some(rule) = &self.spec.timestamp {
            in_time(rule, &self.timestamp_text(request, rule, &values)?, now)?;
        }
        Ok(format!("{}:{secret}", self.spec.algorithm.name()))
    }

    /// Every value of every signature header.
    fn header_values<'r>(&self, request: &'r Request) -> Result<Vec<&'r str>, Refusal> {
        let headers = self.spec.signature_headers.iter();
        let values = headers.flat_map(|header| request.raw.headers.get_all(header.as_str()));
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        match values.is_empty() {
            true => Err(unverified(format!("the header {} is missing", self.header_names()))),
            false => Ok(values),
        }
    }

    fn standard(&self, request: &Request, values: &[&str]) -> Result<&str, Refusal> {
        let id = self.signed_id(request)?;
        let rule = self.spec.timestamp.as_ref();
        let timestamp = rule.map(|rule| self.timestamp_text(request, rule, values)).transpose()?;
        let timestamp = timestamp.unwrap_or_default();
        let signatures = values.join(" ");
        if signatures.split_ascii_whitespace().count() > MOST_SIGNATURES {
            return Err(too_many());
        }
        let fits = |key: &Key| match key {
            Key::Standard { public, .. } => {
                let headers = (id, timestamp.as_str(), signatures.as_str());
                // The window is checked by this engine, as it is for every other scheme.
                let keys = std::slice::from_ref(public);
                standard::verify(keys, headers, &request.raw.body, 0, i64::MAX).is_ok()
            }
            _ => false,
        };
        let found = self.keys.iter().find(|(_, key)| fits(key));
        found.map(|(name, _)| name.as_str()).ok_or_else(mismatch)
    }

    fn signed_by(&self, request: &Request, values: &[&str]) -> Result<&str, Refusal> {
        let signatures = self.signatures(values)?;
        let content = self.signed_content(request, values)?;
        let content: Vec<&[u8]> = content.iter().map(AsRef::as_ref).collect();
        let fits = |key: &Key| signatures.iter().any(|signature| key.accepts(&content, signature));
        let found = self.keys.iter().find(|(_, key)| fits(key));
        found.map(|(name, _)| name.as_str()).ok_or_else(mismatch)
    }

    /// The signatures that the headers offer, decoded.
    fn signatures(&self, values: &[&str]) -> Result<Vec<Vec<u8>>, Refusal> {
        let items = values.iter().flat_map(|value| self.items(value));
        let fields = items.filter_map(|item| match &self.spec.signature_field {
            Some(field) => item.split_once('=').filter(|(key, _)| key == field).map(|(_, value)| value),
            None => Some(item),
        });
        let bare = fields.filter_map(|text| without_prefix(text, &self.spec.prefix));
        let encoding = self.encoding();
        let decoded: Vec<Vec<u8>> =
            bare.filter_map(|text| decode(text, encoding)).take(MOST_SIGNATURES + 1).collect();
        match decoded.len() {
            0 => Err(unverified(format!("the header {} holds no signature", self.header_names()))),
            1..=MOST_SIGNATURES => Ok(decoded),
            _ => Err(too_many()),
        }
    }

    fn items<'v>(&self, value: &'v str) -> Vec<&'v str> {
        match self.spec.separator.as_deref() {
            Some(separator) => {
                value.split(separator).map(str::trim).filter(|item| !item.is_empty()).collect()
            }
            None => vec![value.trim()],
        }
    }

    fn signed_content<'a>(&'a self, request: &'a Request, values: &[&str]) -> Result<Vec<Part<'a>>, Refusal> {
        let id = if self.content.uses(Name::Id) { self.signed_id(request)? } else { "" };
        let timestamp = match &self.spec.timestamp {
            Some(rule) if self.content.uses(Name::Timestamp) => {
                // Nobody is known yet, so whatever is wrong here is a matter of proof.
                let text = self.timestamp_text(request, rule, values);
                text.map_err(|refusal| unverified(refusal.to_string()))?
            }
            _ => String::new(),
        };
        let url = self.signed_url(&request.raw.path, request.raw.query.as_deref());
        let parts = self.content.fill(|name| match name {
            Name::Id => Part::Borrowed(id.as_bytes()),
            Name::Timestamp => Part::Owned(timestamp.clone().into_bytes()),
            Name::Body => Part::Borrowed(&request.raw.body),
            Name::Url => Part::Owned(url.clone().into_bytes()),
            Name::Method => Part::Borrowed(request.raw.method.as_str().as_bytes()),
        });
        Ok(parts)
    }

    /// The configured base, never the request's own `Host`, and what was asked of it.
    pub(super) fn signed_url(&self, path: &str, query: Option<&str>) -> String {
        let base = self.spec.public_url.as_deref().unwrap_or_default().trim_end_matches('/');
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{base}{path}{query}")
    }

    fn signed_id<'r>(&self, request: &'r Request) -> Result<&'r str, Refusal> {
        let header = self.spec.id_header.as_ref();
        let found = header.and_then(|header| request.header(header)).filter(|id| !id.is_empty());
        found.ok_or_else(|| unverified("the id's header is missing or repeated".to_owned()))
    }

    fn timestamp_text(
        &self,
        request: &Request,
        rule: &TimestampRule,
        values: &[&str],
    ) -> Result<String, Refusal> {
        if let Some(header) = &rule.header {
            let missing = || unverified(format!("the header {header:?} is missing or repeated"));
            return request.header(header).map(str::to_owned).ok_or_else(missing);
        }
        if let Some(field) = &rule.field {
            let items = values.iter().flat_map(|value| self.items(value));
            let mut times = items.filter_map(|item| item.split_once('=')).filter(|(key, _)| key == field);
            return match (times.next(), times.next()) {
                (Some((_, time)), None) => Ok(time.to_owned()),
                _ => Err(unverified(format!("the signature's `{field}` is missing or repeated"))),
            };
        }
        let Some(pointer) = &rule.pointer else { return Ok(String::new()) };
        let body = request.body(&self.reading)?;
        let text = self.reading.wanted.value(&body.found, pointer);
        text.map(str::to_owned).ok_or_else(|| unverified(format!("the body's {pointer:?} is missing")))
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.spec.encoding.unwrap_or(match self.spec.algorithm {
            Algorithm::Equality => Encoding::Plain,
            _ => Encoding::Hex,
        })
    }

    fn header_names(&self) -> String {
        let names: Vec<String> = self.spec.signature_headers.iter().map(|name| format!("{name:?}")).collect();
        names.join(" or ")
    }
}

/// A part of the signed content.
type Part<'a> = std::borrow::Cow<'a, [u8]>;

fn in_time(rule: &TimestampRule, text: &str, now: Timestamp) -> Result<(), Refusal> {
    let at = match rule.unit {
        Unit::Seconds => text.parse::<i64>().ok().map(|at| i128::from(at) * 1000),
        Unit::Milliseconds => text.parse::<i64>().ok().map(i128::from),
        Unit::Iso => text.parse::<Timestamp>().ok().map(|at| i128::from(at.as_millisecond())),
    };
    let at = at.ok_or_else(|| unverified("the timestamp is not a time".to_owned()))?;
    let apart = i128::from(now.as_millisecond()).abs_diff(at);
    let tolerance = rule.tolerance_seconds;
    if apart > u128::from(tolerance) * 1000 {
        return Err(unverified(format!("the timestamp is more than {tolerance} seconds from now")));
    }
    Ok(())
}

fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => standard::from_base64(text),
        Encoding::Base64url => BASE64URL.decode(text).ok(),
        Encoding::Plain => Some(text.as_bytes().to_vec()),
    }
}

/// A prefix is no secret and, as `Bearer`, has no case.
fn without_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn unverified(reason: String) -> Refusal {
    Refusal::Unverified(reason)
}

fn mismatch() -> Refusal {
    unverified("no signature matches any of the live secrets".to_owned())
}

fn too_many() -> Refusal {
    unverified(format!("there are more than {MOST_SIGNATURES} signatures"))
}
