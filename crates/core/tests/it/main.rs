//! What a user of this crate can and cannot do.

mod unverified;
