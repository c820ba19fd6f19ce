//! Strict tables with every finding at once.
//!
//! Serde stops at a table's first error. [`read`] notes it, takes the key that is
//! to blame off the table and tries again, so that one run tells them all.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error, ValueDeserializer},
};

use super::report::{Report, suggest};

/// A table of the contract with its place in the file.
pub(super) type Table<'a> = Spanned<DeValue<'a>>;

/// Reads a table strictly; `None` when something that it needs is missing or wrong.
pub(super) fn read<T: DeserializeOwned>(table: Table<'_>, report: &mut Report) -> Option<T> {
    read_with(table, &[], report, |table| T::deserialize(ValueDeserializer::from(table)))
}

/// Reads a table by `parse`; `also` are valid names that were taken off before.
pub(super) fn read_with<T>(
    table: Table<'_>,
    also: &[&str],
    report: &mut Report,
    parse: impl Fn(Table<'_>) -> Result<T, Error>,
) -> Option<T> {
    let span = table.span();
    let mut removed = Vec::new();
    let mut table = table;
    loop {
        let error = match parse(table.clone()) {
            Ok(value) if removed.is_empty() => return Some(value),
            Ok(_) => return None,
            Err(error) => error,
        };
        let at = error.span().unwrap_or_else(|| span.clone());
        note(&error, at.clone(), &removed, also, report);
        removed.push(blamed(&mut table, &at)?);
    }
}

/// Takes a key off a table and keeps its place.
pub(super) fn take<'a>(table: &mut DeTable<'a>, name: &str) -> Option<(Range<usize>, Spanned<DeValue<'a>>)> {
    let (key, value) = table.remove_entry(name)?;
    Some((key.span(), value))
}

fn note(error: &Error, at: Range<usize>, removed: &[String], also: &[&str], report: &mut Report) {
    let message = error.message();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field") {
        let (got, known) = (names[0], names[1..].iter().copied().chain(also.iter().copied()));
        let finding = report.error("unknown_key", at, format!("unknown key `{got}`"));
        finding.help = suggest(got, known);
        return;
    }
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        if !removed.iter().any(|name| name == missing) {
            report.error("missing_key", at, format!("the key `{missing}` is missing"));
        }
        return;
    }
    let finding = report.error("wrong_value", at, message.trim_end());
    if message.starts_with("unknown variant") {
        finding.title = format!("`{}` is not a value here", names[0]);
        finding.help = suggest(names[0], names[1..].iter().copied());
    }
}

/// Removes the entry whose key or value holds the place, and tells its name.
fn blamed(table: &mut Table<'_>, at: &Range<usize>) -> Option<String> {
    let DeValue::Table(entries) = table.get_mut() else { return None };
    let holds = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    let name = entries.iter().find(|(key, value)| holds(key.span()) || holds(value.span()));
    let name = name.map(|(key, _)| key.get_ref().to_string())?;
    entries.remove(name.as_str());
    Some(name)
}
