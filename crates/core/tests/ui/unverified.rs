//! Only `Source::verify` makes a `Verified`.

use hook_core::{
    ports::RawEvent,
    source::{Draft, Source, Verified},
};

fn made_by_hand(raw: RawEvent) -> Verified {
    Verified { request: raw, by: String::new() }
}

fn converted(raw: RawEvent) -> Verified {
    raw.into()
}

fn normalized_as_it_came(source: &Source, raw: RawEvent) -> Vec<Draft> {
    source.normalize(raw).unwrap_or_default()
}

fn opened(verified: Verified) -> String {
    verified.by
}

fn copied(verified: &Verified) -> Verified {
    verified.clone()
}

fn main() {}
