//! The ledger over a log in memory and a real SQLite file.

mod claims;
mod damage;
mod fixture;
mod history;
