//! The SQLite file: how it is opened, its tables, and what happens to a damaged one.
//!
//! Rules of the file:
//!
//! - Ids and claim keys are 16 raw bytes, times are milliseconds since 1970.
//! - `event.id` sorts by time of receipt, so its tree only grows at one end.
//! - Another version of the tables is not migrated but built again from the log.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use crate::{LedgerError, error::is_damage};

/// Raised whenever a table changes.
const VERSION: i64 = 2;

const PRAGMAS: &str = "
    pragma journal_mode = wal;
    pragma synchronous = normal;
    pragma wal_autocheckpoint = 4000;
    pragma cache_size = -8192;
    pragma journal_size_limit = 67108864;
    pragma busy_timeout = 5000;
    pragma trusted_schema = off;
    pragma temp_store = memory;";

const TABLES: &str = "
    create table topic (id integer primary key, name text not null unique) strict;
    create table cursor (
        topic integer not null, lane integer not null, next integer not null,
        primary key (topic, lane)) strict, without rowid;
    create table claim (
        key blob primary key, event blob not null, at integer not null) strict, without rowid;
    create index claim_at on claim (at);
    create table event (
        id blob primary key, topic integer not null, lane integer not null, off integer not null,
        received integer not null, source text not null, type text not null,
        adapter text, delivery text, subject text) strict, without rowid;
    create index event_position on event (topic, lane, off);
    create table attempt (
        seq integer primary key, event blob not null, lane integer not null, off integer not null,
        adapter text not null, number integer not null, at integer not null, millis integer not null,
        outcome text not null, status integer, detail text, redelivery integer not null) strict;
    create index attempt_event on attempt (event);
    create table dead_letter (
        lane integer not null, off integer not null, event blob, adapter text, source text, type text,
        failed integer not null, error text not null, reason text not null, attempts integer not null,
        status integer, position text not null, replayed integer, purged integer,
        primary key (lane, off)) strict, without rowid;
    create index dead_letter_event on dead_letter (event);
    create table meta (name text primary key, value text not null) strict, without rowid;
    insert into meta values ('name', lower(hex(randomblob(8))));";

/// Opens the file for reading and writing, making or rebuilding it as needed.
pub(crate) fn open(path: &Path) -> Result<Connection, LedgerError> {
    match open_as_is(path) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => {
            tracing::info!(path = %path.display(), "the ledger's tables are of another version; building them again from the log");
            remove(path)?;
            open_fresh(path)
        }
        Err(error) if is_damage(&error) => {
            move_aside(path)?;
            open_fresh(path)
        }
        Err(error) => Err(failed(path, &error)),
    }
}

/// Opens a file that exists, for queries only.
pub(crate) fn open_for_queries(path: &Path) -> Result<Connection, LedgerError> {
    // NOTE: not `SQLITE_OPEN_READ_ONLY`: a reader of a WAL file has to be able to make
    // its shared-memory file when no writer is running.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, &error))?;
    connection
        .execute_batch("pragma busy_timeout = 5000; pragma query_only = on; pragma trusted_schema = off;")?;
    Ok(connection)
}

/// Puts a damaged file out of the way, under a name that a person will find.
pub(crate) fn move_aside(path: &Path) -> Result<(), LedgerError> {
    let aside = with_suffix(path, ".damaged");
    fs::rename(path, &aside).map_err(|error| failed(path, &error))?;
    remove_companions(path)?;
    tracing::warn!(path = %path.display(), moved_to = %aside.display(), "the ledger's file is damaged; building it again from the log");
    Ok(())
}

/// Deletes the file and what SQLite keeps beside it; a file that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), LedgerError> {
    remove_one(path)?;
    remove_companions(path)
}

/// The name that the file was given when it was made.
pub(crate) fn name(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("select value from meta where name = 'name'", [], |row| row.get(0))
}

/// Deletes every row.
pub(crate) fn clear(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "begin immediate; delete from topic; delete from cursor; delete from claim; delete from event;
         delete from attempt; delete from dead_letter; commit;",
    )
}

/// `None` when the tables are of another version.
fn open_as_is(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let connection = Connection::open(path)?;
    connection.execute_batch(PRAGMAS)?;
    let version: i64 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if version == 0 && tables == 0 {
        connection.execute_batch(&format!("begin; {TABLES} pragma user_version = {VERSION}; commit;"))?;
        return Ok(Some(connection));
    }
    if version != VERSION {
        return Ok(None);
    }
    for table in ["topic", "cursor", "claim", "event", "attempt", "dead_letter", "meta"] {
        connection.prepare(&format!("select * from {table} limit 1"))?.query([])?.next()?;
    }
    Ok(Some(connection))
}

fn open_fresh(path: &Path) -> Result<Connection, LedgerError> {
    match open_as_is(path) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(failed(path, &"a new file has old tables")),
        Err(error) => Err(failed(path, &error)),
    }
}

fn remove_companions(path: &Path) -> Result<(), LedgerError> {
    remove_one(&with_suffix(path, "-wal"))?;
    remove_one(&with_suffix(path, "-shm"))
}

fn remove_one(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> LedgerError {
    LedgerError::Open { path: path.into(), reason: error.to_string() }
}
