//! What the provider would send: the other side of `verify`, out of the same data.
//!
//! For `hook send`, the demo and tests. A timestamp that stands in the body is the
//! body's business and has to be right already.

use hook_event::{Entropy, EventId, standard_webhooks as standard};
use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::{
    Source,
    content::Name,
    key::Key,
    spec::{Algorithm, Encoding, Unit},
    verify::BASE64URL,
};

impl Source {
    /// The headers that the provider would send with `body` at `now`, signed with
    /// every live secret where the scheme has room for several. `event` goes into
    /// the header that names the event, as far as the first dot where the rest of
    /// the type comes from the body.
    ///
    /// A signature is missing where only the provider could make it: by Ed25519
    /// when the secret is the public key alone.
    pub fn sign(
        &self,
        body: &[u8],
        now: Timestamp,
        entropy: Entropy,
        event: Option<&str>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let id = EventId::new(now, entropy).to_string();
        let timestamp = self.written(now);
        let mut headers = Headers(Vec::new());
        for pick in &self.spec.event_type {
            let Some(((header, whole), event)) = pick.leading_header().zip(event) else { continue };
            let first = event.split('.').next().unwrap_or_default();
            headers.add(header.as_str(), if whole { event } else { first });
        }
        let named = self.spec.delivery_id.iter().find_map(|pick| pick.leading_header());
        for header in self.spec.id_header.iter().chain(named.map(|(header, _)| header)) {
            headers.add(header.as_str(), &id);
        }
        if let Some(header) = self.spec.timestamp.as_ref().and_then(|rule| rule.header.as_ref()) {
            headers.add(header.as_str(), &timestamp);
        }
        if let (Some(header), Some(value)) =
            (self.spec.signature_headers.first(), self.signature(body, &id, &timestamp))
        {
            headers.add(header.as_str(), &value);
        }
        headers.0
    }

    fn written(&self, now: Timestamp) -> String {
        match self.spec.timestamp.as_ref().map(|rule| rule.unit).unwrap_or_default() {
            Unit::Seconds => now.as_second().to_string(),
            Unit::Milliseconds => now.as_millisecond().to_string(),
            Unit::Iso => now.to_string(),
        }
    }

    fn signature(&self, body: &[u8], id: &str, timestamp: &str) -> Option<String> {
        if self.spec.algorithm == Algorithm::StandardWebhooks {
            let private = |(_, key): &(String, Key)| match key {
                Key::Standard { private, .. } => private.clone(),
                _ => None,
            };
            let keys: Vec<standard::Key> = self.keys.iter().filter_map(private).collect();
            return Some(standard::sign(&keys, id, timestamp.parse().ok()?, body));
        }
        let url = self.signed_url(&format!("/webhook/{}", self.name), None);
        let content = self.content.fill(|name| match name {
            Name::Id => id.as_bytes().into(),
            Name::Timestamp => timestamp.as_bytes().into(),
            Name::Body => body.into(),
            Name::Url => url.as_bytes().into(),
            Name::Method => Method::POST.as_str().as_bytes().into(),
        });
        let content: Vec<&[u8]> = content.iter().map(AsRef::as_ref).collect();
        let signatures = self.keys.iter().filter_map(|(_, key)| key.sign(&content));
        let mut written: Vec<String> = signatures.filter_map(|bytes| self.item(&bytes)).collect();
        if written.is_empty() {
            return None;
        }
        let Some(separator) = &self.spec.separator else { return Some(written.swap_remove(0)) };
        if let Some(field) = self.spec.timestamp.as_ref().and_then(|rule| rule.field.as_ref()) {
            written.insert(0, format!("{field}={timestamp}"));
        }
        Some(written.join(separator))
    }

    /// One signature as it stands in the header.
    fn item(&self, bytes: &[u8]) -> Option<String> {
        let text = match self.encoding() {
            Encoding::Hex => hex::encode(bytes),
            Encoding::Base64 => standard::base64(bytes),
            Encoding::Base64url => base64::Engine::encode(&BASE64URL, bytes),
            Encoding::Plain => String::from_utf8(bytes.to_vec()).ok()?,
        };
        let field = self.spec.signature_field.as_ref().map(|field| format!("{field}=")).unwrap_or_default();
        Some(format!("{field}{}{text}", self.spec.prefix))
    }
}

struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// Adds a header once; a value that no header can carry is left out.
    fn add(&mut self, name: &str, value: &str) {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        else {
            return;
        };
        if self.0.iter().all(|(known, _)| *known != name) {
            self.0.push((name, value));
        }
    }
}
