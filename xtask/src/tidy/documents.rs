//! What the documents owe the code: a changelog that is open, and a page on which
//! every driver is described.

use std::path::Path;

use super::{Document, Finding};

const CHANGELOG: &str = "CHANGELOG.md";
const DRIVERS: &str = "docs/drivers.md";

/// How a row of a driver table begins in the code.
const ROWS: &[&str] = &["EgressDriver {", "IngressDriver {", "PluginDriver {"];

pub(super) fn check(documents: &[Document]) -> Vec<Finding> {
    changelog(documents).into_iter().chain(drivers(documents)).collect()
}

fn changelog(documents: &[Document]) -> Option<Finding> {
    let Some(changelog) = find(documents, CHANGELOG) else {
        return Some(missing(CHANGELOG, "every visible change adds a line under `Unreleased`"));
    };
    let open = changelog.text.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased"));
    (!open).then(|| Finding::file(changelog, "has no section `## Unreleased`"))
}

/// Every driver's name, in backticks, in a heading or a table of the drivers' page.
fn drivers(documents: &[Document]) -> Vec<Finding> {
    let rows: Vec<(&Document, usize, &str)> = documents.iter().flat_map(rows_of).collect();
    let Some(page) = find(documents, DRIVERS) else {
        return (!rows.is_empty())
            .then(|| missing(DRIVERS, "every driver is described there"))
            .into_iter()
            .collect();
    };
    let described = |name: &str| {
        let name = format!("`{name}`");
        page.text.lines().any(|line| line.starts_with(['#', '|']) && line.contains(&name))
    };
    let undescribed = rows.into_iter().filter(|(_, _, name)| !described(name));
    undescribed
        .map(|(source, index, name)| {
            Finding::line(source, index, format!("`{name}` is not described in {DRIVERS}"))
        })
        .collect()
}

/// The drivers whose rows a file holds: the `name: "…"` after each opening.
fn rows_of(document: &Document) -> Vec<(&Document, usize, &str)> {
    if !document.path.starts_with("crates")
        || document.path.iter().any(|part| part == "tests.rs" || part == "tests")
    {
        return Vec::new();
    }
    let lines: Vec<&str> = document.text.lines().take_while(|line| *line != "#[cfg(test)]").collect();
    let opens = |line: &str| {
        line.contains(": ") && line.contains(" = ") && ROWS.iter().any(|row| line.trim_end().ends_with(row))
    };
    let rows = lines.iter().enumerate().filter(|(_, line)| opens(line));
    rows.filter_map(|(index, _)| {
        let name = lines[index..].iter().take(6).find_map(|line| line.trim().strip_prefix("name: \""))?;
        Some((document, index, name.split('"').next()?))
    })
    .collect()
}

fn find<'a>(documents: &'a [Document], path: &str) -> Option<&'a Document> {
    documents.iter().find(|document| document.path == Path::new(path))
}

fn missing(path: &str, why: &str) -> Finding {
    Finding { file: path.into(), line: 0, what: format!("is missing: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "pub const DRIVER: EgressDriver = EgressDriver {\n    name: \"http_output\",\n};\n";

    fn check_files(files: &[(&str, &str)]) -> Vec<String> {
        let documents: Vec<Document> =
            files.iter().map(|(path, text)| Document { path: path.into(), text: (*text).into() }).collect();
        check(&documents).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_changelog_is_open() {
        assert!(check_files(&[(CHANGELOG, "# Changes\n\n## Unreleased\n")]).is_empty());
        assert_eq!(check_files(&[(CHANGELOG, "# Changes\n")]).len(), 1);
        assert_eq!(check_files(&[]).len(), 1);
    }

    #[test]
    fn every_driver_is_described() {
        let log = (CHANGELOG, "## [Unreleased]\n");
        let code = ("crates/adapters/src/http_output.rs", ROW);
        assert!(check_files(&[log, code, (DRIVERS, "## `http_output`\n")]).is_empty());
        assert_eq!(check_files(&[log, code, (DRIVERS, "mentions `http_output` in passing\n")]).len(), 1);
        assert_eq!(check_files(&[log, code]).len(), 1);
    }
}
