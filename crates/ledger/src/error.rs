//! Why the ledger could not answer or follow.

use hook_log::{AppendError, ReadError};

/// Why the ledger could not answer or follow. Nothing here loses an event: the log has it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite said no.
    #[error("the ledger's database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be opened or moved.
    #[error("cannot open the ledger {path}: {reason}")]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The log could not be read.
    #[error("the ledger cannot read the log: {0}")]
    Log(#[from] ReadError),
    /// A mark could not be appended to the log.
    #[error("the ledger cannot write to the log: {0}")]
    Append(#[from] AppendError),
    /// It does not know enough of the log to judge.
    #[error("{0}")]
    Behind(String),
    /// The file was damaged and is being built again.
    #[error("the ledger's file was damaged and moved aside; it is being built again from the log")]
    Rebuilding,
    /// The writer thread is gone.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    /// Whether the file itself is at fault, so that building it again helps.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Sqlite(error) if is_damage(error))
    }
}

/// Whether SQLite found the file to be no database, or a broken one.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
