//! `cargo xtask tidy`: the rules that no compiler checks.
//!
//! Each rule is a function from the repository's files to what is wrong; all of
//! them run, and every finding is printed as `file:line: what`.

mod documents;
mod edges;
mod sources;

use std::{fmt, path::PathBuf};

use anyhow::{Result, bail};

use crate::repo;

/// Something that a person must mend.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: PathBuf,
    /// Zero when the whole file is meant.
    line: usize,
    what: String,
}

/// A file with its text.
struct Document {
    path: PathBuf,
    text: String,
}

pub(crate) fn run() -> Result<()> {
    let documents = load()?;
    let mut findings = edges::check(&documents);
    findings.extend(sources::check(&documents));
    findings.extend(documents::check(&documents));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        many => bail!("{many} findings"),
    }
}

/// The files that rules are about: sources, manifests, documents.
fn load() -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in repo::files()? {
        if path
            .extension()
            .is_some_and(|extension| ["rs", "toml", "md"].iter().any(|kind| extension == *kind))
        {
            documents.push(Document { text: repo::read(&path)?, path });
        }
    }
    Ok(documents)
}

impl Finding {
    fn file(document: &Document, what: impl Into<String>) -> Self {
        Self { file: document.path.clone(), line: 0, what: what.into() }
    }

    fn line(document: &Document, index: usize, what: impl Into<String>) -> Self {
        Self { file: document.path.clone(), line: index + 1, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what } = self;
        match line {
            0 => write!(f, "{}: {what}", file.display()),
            line => write!(f, "{}:{line}: {what}", file.display()),
        }
    }
}
