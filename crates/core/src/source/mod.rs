//! Sources as data: who sends, how it is verified, what it means.
//!
//! A [`SourceSpec`] is what a preset or a contract's `[sources.<name>]` says. The
//! engine interprets it; no provider has code of its own.

/// How one kind of sender verifies and names its events.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSpec {
    /// The preset's name, or the source's own.
    pub name: String,
}
