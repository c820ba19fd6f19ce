//! Which crate may know which.
//!
//! The walls of ARCHITECTURE.md as a table: an edge that is not listed is an
//! error, and so is a transport in a crate that must not know any. Development
//! dependencies are free, for a test may use more than the code it tests.

use super::{Document, Finding};

/// A workspace crate and the workspace crates that it may use.
const EDGES: &[(&str, &[&str])] = &[
    ("bench", &["hook-broker"]),
    (
        "hook",
        &["hook-adapters", "hook-core", "hook-event", "hook-kafka", "hook-ledger", "hook-log", "hook-sdk"],
    ),
    ("hook-adapters", &["hook-core", "hook-event", "hook-log", "hook-sdk"]),
    // For tests: a development dependency of whoever wants a broker.
    ("hook-broker", &[]),
    ("hook-core", &["hook-event", "hook-log", "hook-sdk"]),
    ("hook-event", &[]),
    ("hook-kafka", &["hook-core", "hook-event", "hook-log"]),
    ("hook-ledger", &["hook-core", "hook-event", "hook-log"]),
    ("hook-log", &[]),
    ("hook-sdk", &["hook-event"]),
    ("xtask", &[]),
];

/// Crates that must stay out of others, and what is lost when they are not.
const WALLS: &[(&str, &[&str], &str)] = &[
    (
        "hook-core",
        &[
            "axum",
            "hyper",
            "hyper-util",
            "reqwest",
            "rdkafka",
            "rusqlite",
            "rustls",
            "tokio-rustls",
            "tower-http",
        ],
        "the pipeline knows no transport",
    ),
    (
        "hook-event",
        &["tokio", "axum", "hyper", "reqwest", "rdkafka", "rusqlite", "tracing"],
        "an event is data: no async, no I/O",
    ),
    ("hook-log", &["axum", "hyper", "reqwest", "rdkafka", "rusqlite"], "the log knows files and bytes"),
    (
        "hook-sdk",
        &["axum", "hyper", "reqwest", "rdkafka", "rusqlite"],
        "whoever embeds hooks gets no transport with them",
    ),
];

/// The crates whose errors are for a person alone.
const ANYHOW: &[&str] = &["bench", "hook", "xtask"];

pub(super) fn check(documents: &[Document]) -> Vec<Finding> {
    let manifests = documents.iter().filter(|document| document.path.ends_with("Cargo.toml"));
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(document: &Document) -> Vec<Finding> {
    let manifest: toml::Table = match document.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::file(document, format!("is not TOML: {error}"))],
    };
    let Some(name) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
        return Vec::new();
    };
    if document.path.iter().any(|folder| folder == "fuzz") {
        return Vec::new();
    }
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
        return vec![Finding::file(
            document,
            format!("`{name}` has no row in the table of edges in xtask/src/tidy/edges.rs"),
        )];
    };
    let mut wrong: Vec<String> = Vec::new();
    for dependency in dependencies(&manifest) {
        let of_workspace = EDGES.iter().any(|(known, _)| *known == dependency);
        if of_workspace && !allowed.contains(&dependency.as_str()) {
            wrong.push(format!("`{name}` must not use `{dependency}`"));
        }
        if dependency == "anyhow" && !ANYHOW.contains(&name) {
            wrong.push(format!("`{name}` must name its errors: `anyhow` is for {}", ANYHOW.join(", ")));
        }
        let wall = WALLS
            .iter()
            .find(|(walled, kept_out, _)| *walled == name && kept_out.contains(&dependency.as_str()));
        if let Some((_, _, why)) = wall {
            wrong.push(format!("`{name}` must not use `{dependency}`: {why}"));
        }
    }
    wrong.into_iter().map(|what| Finding::file(document, what)).collect()
}

/// The names under `[dependencies]`, `[build-dependencies]` and the same by target.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let of = |table: &toml::Table| -> Vec<String> {
        let lists = ["dependencies", "build-dependencies"];
        let tables = lists.iter().filter_map(|list| table.get(*list)?.as_table());
        tables.flat_map(|table| table.keys().cloned()).collect()
    };
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let by_target =
        targets.into_iter().flat_map(|targets| targets.values()).filter_map(toml::Value::as_table);
    of(manifest).into_iter().chain(by_target.flat_map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Vec<String> {
        let document = Document { path: "crates/x/Cargo.toml".into(), text: text.to_owned() };
        check(&[document]).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_crate_keeps_to_its_row() {
        let none: [&str; 0] = [];
        assert_eq!(
            check_text("[package]\nname='hook-core'\n[dependencies]\nhook-log.workspace=true\nserde='1'"),
            none
        );
        assert_eq!(
            check_text("[package]\nname='hook-log'\n[dependencies]\nhook-event='1'"),
            ["`hook-log` must not use `hook-event`"]
        );
        assert_eq!(check_text("[package]\nname='hook-log'\n[dev-dependencies]\nhook-event='1'"), none);
        assert_eq!(
            check_text("[package]\nname='hook-log'\n[target.'cfg(unix)'.dependencies]\nhook-event='1'").len(),
            1
        );
        assert_eq!(
            check_text("[package]\nname='hook-core'\n[dependencies]\nreqwest='1'\nanyhow='1'").len(),
            2
        );
        assert_eq!(check_text("[package]\nname='stranger'").len(), 1);
        assert_eq!(check_text("[workspace]\nmembers=[]"), none);
    }
}
