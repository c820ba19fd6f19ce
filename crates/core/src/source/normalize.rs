//! What a believed request means: one event, or several.

use bytes::Bytes;
use http::Method;

use super::{
    Draft, Source, Verified,
    json::{self, Found, Pointer},
    pick::{Pick, Place},
    request::{Request, malformed_json, utf8},
    spec::Algorithm,
};
use crate::ports::Refusal;

/// Longer than any provider's; a name is no place for a payload.
const LONGEST_NAME: usize = 512;

/// An event of a request: all of it, or one element of its batch.
struct Item<'a> {
    request: &'a Request,
    payload: Bytes,
    found: &'a Found,
    index: Option<usize>,
}

impl Source {
    /// Reads the event, or the events of a batch. A batch of none is no event.
    ///
    /// # Errors
    /// When the body is not JSON (or a form that carries it), or lacks what its
    /// event's type is made of.
    pub fn normalize(&self, verified: Verified) -> Result<Vec<Draft>, Refusal> {
        let Verified { request, by } = verified;
        if request.raw.method != Method::POST {
            return Err(Refusal::MethodNotAllowed(request.raw.method));
        }
        let body = request.body(&self.reading)?;
        match &self.spec.batch {
            None => {
                let payload = body.payload.clone();
                let item = Item { request: &request, payload, found: &body.found, index: None };
                Ok(vec![self.draft(item, &by)?])
            }
            Some(at) => self.split(&request, &body.payload, at, &by),
        }
    }

    fn split(
        &self,
        request: &Request,
        payload: &Bytes,
        at: &Pointer,
        by: &str,
    ) -> Result<Vec<Draft>, Refusal> {
        let no_array = || Refusal::Malformed(format!("the body has no array at {at:?}"));
        let elements = json::elements(utf8(payload)?, at).ok().flatten().ok_or_else(no_array)?;
        let mut drafts = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            let text = element.get();
            let found = self.reading.wanted.scan(text).map_err(|error| malformed_json(&error))?;
            let payload = payload.slice_ref(text.as_bytes());
            drafts.push(self.draft(Item { request, payload, found: &found, index: Some(index) }, by)?);
        }
        Ok(drafts)
    }

    fn draft(&self, item: Item<'_>, by: &str) -> Result<Draft, Refusal> {
        let spec = &self.spec;
        let Some((event_type, pick)) = self.first(&spec.event_type, &item) else {
            return Err(self.no_type());
        };
        named(pick, &event_type)?;
        let subject = self.first(&spec.subject, &item).map(|(text, _)| shortened(&text));
        let ordering_key = self.first(&spec.ordering_key, &item).map(|(text, _)| shortened(&text));
        Ok(Draft {
            event_type,
            delivery_id: self.delivery_id(&item)?,
            ordering_key: ordering_key.or_else(|| subject.clone()),
            subject,
            verified_by: by.to_owned(),
            payload: item.payload,
            flags: match is_unverified(item.request, spec.algorithm) {
                true => vec!["unverified".to_owned()],
                false => Vec::new(),
            },
        })
    }

    /// An id that the whole batch shares is told apart by the element's index.
    fn delivery_id(&self, item: &Item<'_>) -> Result<Option<String>, Refusal> {
        let Some((id, pick)) = self.first(&self.spec.delivery_id, item) else { return Ok(None) };
        named(pick, &id)?;
        Ok(Some(match item.index {
            Some(index) if !pick.looks_inside() => format!("{id}.{index}"),
            _ => id,
        }))
    }

    /// The first of the texts that can be filled in.
    fn first<'p>(&self, picks: &'p [Pick], item: &Item<'_>) -> Option<(String, &'p Pick)> {
        let look = |place: &Place| match place {
            Place::Pointer(pointer) => self.reading.wanted.value(item.found, pointer).map(str::to_owned),
            outside => item.request.outside(outside),
        };
        picks.iter().find_map(|pick| Some((pick.fill(&look)?, pick)))
    }

    fn no_type(&self) -> Refusal {
        let picks: Vec<String> = self.spec.event_type.iter().map(|pick| format!("`{pick}`")).collect();
        Refusal::Malformed(format!("the event's type is missing, expected {}", picks.join(" or ")))
    }
}

/// Whether nothing stands behind the event: no proof was asked for, or the transport
/// that vouches for it can be forged on the way.
fn is_unverified(request: &Request, algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::None => true,
        Algorithm::Transport => !request.raw.transport.as_ref().is_some_and(|proof| proof.protected),
        _ => false,
    }
}

/// Routes match on the type, and repetitions are told by the id: neither may be
/// anything but a name, and neither can be cut without becoming another.
fn named(pick: &Pick, text: &str) -> Result<(), Refusal> {
    if text.len() <= LONGEST_NAME && !text.contains(char::is_control) {
        return Ok(());
    }
    let message = format!("`{pick}` is longer than {LONGEST_NAME} bytes or has control characters");
    Err(Refusal::Malformed(message))
}

/// A subject is for people and for order: what is too long of it is left out, and
/// no event is refused for it.
fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_NAME);
    text[..end].replace(char::is_control, " ")
}
