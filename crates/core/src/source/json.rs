//! Looking into JSON without building it.
//!
//! One pass over the text checks that all of it is JSON, no deeper than
//! serde_json's limit of 128, and picks out the few values that somebody asked
//! for. Nothing is ever written anew: what is stored is a slice of what was sent.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A place in a JSON text (RFC 6901): `/pull_request/number`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Vec<String>);

/// The places that are looked at, as a tree.
#[derive(Default)]
pub(super) struct Wanted {
    root: Node,
    slots: BTreeMap<Pointer, usize>,
}

#[derive(Default)]
struct Node {
    slot: Option<usize>,
    children: BTreeMap<String, Node>,
}

/// What stood there: texts, numbers and booleans as text.
pub(super) struct Found(Vec<Option<String>>);

impl Pointer {
    /// Reads `/a/b`; the empty text is the whole.
    ///
    /// # Errors
    /// When it begins with something else, or a `~` is neither `~0` nor `~1`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return match text {
                "" => Ok(Self(Vec::new())),
                _ => Err(format!("`{text}` is not a JSON pointer, it has to begin with `/`")),
            };
        };
        rest.split('/').map(unescape).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it is the empty text, which names no place but all of them.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands there, if anything does.
    pub fn find<'v>(&self, value: &'v serde_json::Value) -> Option<&'v serde_json::Value> {
        value.pointer(&self.to_string())
    }
}

impl Wanted {
    pub(super) fn of<'a>(pointers: impl Iterator<Item = &'a Pointer>) -> Self {
        let mut wanted = Self::default();
        for pointer in pointers {
            let next = wanted.slots.len();
            let slot = *wanted.slots.entry(pointer.clone()).or_insert(next);
            let step = |node, key: &String| -> &mut Node { Node::child(node, key) };
            pointer.0.iter().fold(&mut wanted.root, step).slot = Some(slot);
        }
        wanted
    }

    /// Checks that `text` is JSON, and finds what is wanted of it.
    pub(super) fn scan(&self, text: &str) -> Result<Found, serde_json::Error> {
        let mut found = vec![None; self.slots.len()];
        let mut json = serde_json::Deserializer::from_str(text);
        Scan { node: Some(&self.root), found: &mut found }.deserialize(&mut json)?;
        json.end()?;
        Ok(Found(found))
    }

    pub(super) fn value<'f>(&self, found: &'f Found, pointer: &Pointer) -> Option<&'f str> {
        found.0.get(*self.slots.get(pointer)?)?.as_deref()
    }
}

impl Node {
    fn child<'n>(node: &'n mut Self, key: &str) -> &'n mut Self {
        node.children.entry(key.to_owned()).or_default()
    }

    /// Of a repeated key only the last value counts, as it does for everybody else.
    fn forget(&self, found: &mut [Option<String>]) {
        if let Some(slot) = self.slot {
            found[slot] = None;
        }
        self.children.values().for_each(|child| child.forget(found));
    }
}

/// The elements of the array at `at`, as they stand in `text`; none when there is no such place.
pub(super) fn elements<'t>(
    text: &'t str,
    at: &Pointer,
) -> Result<Option<Vec<&'t RawValue>>, serde_json::Error> {
    Elements(&at.0).deserialize(&mut serde_json::Deserializer::from_str(text))
}

struct Scan<'a> {
    node: Option<&'a Node>,
    found: &'a mut [Option<String>],
}

impl Scan<'_> {
    fn keep(self, text: impl ToString) {
        if let Some(slot) = self.node.and_then(|node| node.slot) {
            self.found[slot] = Some(text.to_string());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(node) = map.next_key_seed(Key(self.node))? {
            if let Some(node) = node {
                node.forget(self.found);
            }
            map.next_value_seed(Scan { node, found: &mut *self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.node.filter(|node| !node.children.is_empty());
        for index in 0_usize.. {
            let node = inner.and_then(|node| node.children.get(&index.to_string()));
            if seq.next_element_seed(Scan { node, found: &mut *self.found })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.keep(text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Key<'a>(Option<&'a Node>);

impl<'de, 'a> DeserializeSeed<'de> for Key<'a> {
    type Value = Option<&'a Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a> {
    type Value = Option<&'a Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.and_then(|node| node.children.get(key)))
    }
}

struct Elements<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Option<Vec<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => Vec::deserialize(deserializer).map(Some),
            _ => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut elements = None;
        while let Some(key) = map.next_key::<String>()? {
            match key == self.0[0] {
                true => elements = map.next_value_seed(Elements(&self.0[1..]))?,
                false => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(elements)
    }
}

fn unescape(step: &str) -> Result<String, String> {
    let mut out = String::with_capacity(step.len());
    let mut chars = step.chars();
    while let Some(char) = chars.next() {
        match char {
            '~' => match chars.next() {
                Some('0') => out.push('~'),
                Some('1') => out.push('/'),
                _ => return Err(format!("a `~` in `{step}` is neither `~0` nor `~1`")),
            },
            other => out.push(other),
        }
    }
    Ok(out)
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Pointer {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pointer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A JSON pointer, such as `/data/id`." })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

/// As the contract writes it.
impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}
