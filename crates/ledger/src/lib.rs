//! What happened to each event: dedup claims, an index by id, attempts, dead letters.
//!
//! - **Derived**: everything in the SQLite file comes from the log and can be made
//!   again from it. The file may be deleted whenever nothing runs; a damaged one is
//!   moved aside and built anew.
//! - **Off the path of the answer**: one thread writes, many records to a
//!   transaction. A sender waits for no write here, and for a keyed read
//!   only where a filter in memory cannot say that its delivery id is new.
//! - Rows and the log positions that they came from are stored in one transaction,
//!   so a crash repeats or skips nothing.
//!
//! Deliberately absent: payloads (they are read from the log by position), and
//! anything that delivery depends on.

mod claims;
mod error;
mod follow;
mod index;
mod known;
mod ledger;
mod mark;
mod query;
mod reader;
mod store;
mod write;

pub use error::LedgerError;
pub use follow::Progress;
pub use ledger::{Ledger, Options};
pub use mark::{MARKS, Mark};
pub use query::{DeadLetterQuery, DeadLetterRow, EventQuery, EventRow, Fate, Totals};
pub use reader::Reader;
