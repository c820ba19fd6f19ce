//! What the program prints: text for people, or one JSON value for programs.
//!
//! Results go to standard output, everything else to standard error. Colours
//! follow the terminal, `NO_COLOR` and `CLICOLOR_FORCE`.

use std::{borrow::Cow, io::Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads along.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    /// One result: the value for a program, the text for a person.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.json {
            true => serde_json::to_string_pretty(value)?,
            false => text(value),
        };
        print(text.trim_end_matches('\n'))
    }

    /// One line of a stream: compact JSON, or text.
    pub(crate) fn line<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let text = match self.json {
            true => serde_json::to_string(value)?,
            false => text(value),
        };
        print(&text)
    }

    /// A remark beside the result.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            anstream::eprintln!("{DIM}{text}{DIM:#}");
        }
    }

    /// The error that ends the program.
    pub(crate) fn error(self, text: &str, code: u8) {
        if self.json {
            let value = serde_json::json!({ "error": text, "exit_code": code });
            anstream::eprintln!("{value}");
        } else {
            anstream::eprintln!("{RED}error{RED:#}: {text}");
        }
    }

    /// A bar for long work, hidden from programs and where nobody looks.
    pub(crate) fn progress(self, total: Option<u64>, what: &str) -> ProgressBar {
        let bar = match (self.json, total) {
            (true, _) => return ProgressBar::hidden(),
            (false, Some(total)) => ProgressBar::new(total),
            (false, None) => ProgressBar::no_length(),
        };
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}",
            None => "{msg} {spinner} {human_pos} {per_sec}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.with_style(style).with_message(Cow::Owned(what.to_owned()))
    }
}

/// Prints raw bytes as the whole result.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    ignore_closed(out.write_all(bytes).and_then(|()| out.flush()))
}

/// A heading in bold.
pub(crate) fn heading(text: &str) -> String {
    format!("{BOLD}{text}{BOLD:#}")
}

/// A table without lines, its heading in bold.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    let flush = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
    let lines: Vec<String> = table.lines().map(flush).collect();
    match lines.split_first() {
        Some((first, rest)) => [heading(first)].iter().chain(rest).cloned().collect::<Vec<_>>().join("\n"),
        None => String::new(),
    }
}

/// `1.2 MiB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    ignore_closed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// A reader that went away (`hook events list | head`) is no failure.
fn ignore_closed(result: std::io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
