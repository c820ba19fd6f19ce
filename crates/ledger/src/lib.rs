//! What happened to each event: dedup claims, index by id, attempts. SQLite, derived from the log.
