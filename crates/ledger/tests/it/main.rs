//! The ledger over a log in memory and a real SQLite file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod accept;
mod claims;
mod damage;
mod disk;
mod fixture;
mod history;
