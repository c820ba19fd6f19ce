//! The user's pages, held against the program.

use std::{collections::BTreeSet, fs, path::Path};

use clap::{CommandFactory, Parser};
use hook_core::{contract, source::PRESETS};
use serde_json::Value;

use crate::{cli::Cli, contract::DRIVERS};

const PAGES: &[&str] = &[
    include_str!("../../../docs/contract.md"),
    include_str!("../../../docs/drivers.md"),
    include_str!("../../../docs/relay.md"),
    include_str!("../../../docs/sources.md"),
];

/// Every property name of a schema, however deep.
fn keys(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                found.extend(properties.keys().cloned());
            }
            fields.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

/// Whether a page writes it as code, alone or as part of a section's name.
fn is_documented(name: &str) -> bool {
    let spellings = [format!("`{name}`"), format!("[{name}"), format!(".{name}]"), format!("{name} = ")];
    PAGES.iter().any(|page| spellings.iter().any(|spelling| page.contains(spelling)))
}

#[test]
fn every_key_of_the_contract_is_documented() {
    let mut found = BTreeSet::new();
    keys(&contract::schema(&DRIVERS), &mut found);
    assert!(found.len() > 80, "the schema has lost its keys");
    let missing: Vec<_> = found.iter().filter(|name| !is_documented(name)).collect();
    assert!(missing.is_empty(), "write these into docs/: {missing:?}");
}

#[test]
fn every_preset_is_documented() {
    for preset in PRESETS {
        assert!(is_documented(preset.name), "{}", preset.name);
    }
}

#[test]
fn every_contract_of_the_pages_is_valid() {
    let pages = PAGES.iter().copied().chain([include_str!("../../../README.md")]);
    let mut checked = 0;
    for text in pages.flat_map(|page| page.split("```toml contract\n").skip(1)) {
        let text = text.split("```").next().unwrap_or_default();
        if let Err(report) = contract::load("page", text, &contract::Options::default(), &DRIVERS) {
            panic!("{}", report.render(false));
        }
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn every_source_of_the_pages_is_valid() {
    let base = contract::DEFAULT;
    for text in include_str!("../../../docs/sources.md").split("```toml\n").skip(1) {
        let text = format!("{base}\n{}", text.split("```").next().unwrap_or_default());
        if let Err(report) = contract::load("page", &text, &contract::Options::default(), &DRIVERS) {
            panic!("{}", report.render(false));
        }
    }
}

/// The commands of every `sh` block, a comment's text taken off.
fn commands() -> Vec<String> {
    let operating = include_str!("../../../docs/operating.md");
    let pages = PAGES.iter().copied().chain([include_str!("../../../README.md"), operating]);
    let blocks = pages.flat_map(|page| page.split("```sh\n").skip(1));
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let bare = lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
    bare.filter(|line| line.starts_with("hook ")).collect()
}

#[test]
fn every_command_of_the_pages_is_one() {
    let commands = commands();
    assert!(commands.len() > 10, "the pages have lost their commands");
    for command in commands {
        if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
            panic!("{command}: {error}");
        }
    }
}

#[test]
fn every_command_has_a_page_that_shows_it() {
    let shown: Vec<String> = commands();
    let pages = include_str!("../../../README.md").to_owned()
        + include_str!("../../../docs/operating.md")
        + &PAGES.concat();
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let as_code = pages.contains(&format!("`hook {name}")) || pages.contains(&format!("-- {name}"));
        assert!(as_code || shown.iter().any(|line| line.contains(name)), "no page shows `hook {name}`");
    }
}

/// `cargo run --release -- demo` is the first thing that a newcomer types.
#[test]
fn cargo_run_is_the_product() {
    let readme = include_str!("../../../README.md");
    let manifest: toml::Table = include_str!("../../../Cargo.toml").parse().unwrap();
    let members = manifest["workspace"]["default-members"].as_array().unwrap();
    assert!(readme.contains("cargo run --release -- demo"));
    assert_eq!(members.iter().filter_map(|member| member.as_str()).collect::<Vec<_>>(), ["crates/hook"]);
}

#[test]
fn every_test_that_holds_a_trap_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = include_str!("../../../docs/traps.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.contains("| test |")).collect();
    assert!(rows.len() > 40, "the page has lost its rows");
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        for test in cells[2].trim_end_matches(" |").split("<br>") {
            let (path, name) = test.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("{row}"));
            let text = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(text.contains(&format!("fn {name}(")), "{path} has no `{name}`");
        }
    }
}

/// What `deploy/` starts: the files' names, and the command lines in them.
fn deployed() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let mut lines = Vec::new();
    for folder in [root.clone(), root.join("systemd")] {
        for file in
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
        {
            let text = fs::read_to_string(&file).unwrap();
            lines
                .extend(text.lines().filter_map(command_of).map(|words| (file.display().to_string(), words)));
        }
    }
    lines
}

/// `ExecStart=/usr/bin/hook …` of a unit, `CMD ["hook", …]` or `CMD […]` of an image, and
/// `command: […]` of a service that runs it.
fn command_of(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    if let Some(command) = line.strip_prefix("ExecStart=/usr/bin/hook ") {
        return Some(command.split(' ').map(str::to_owned).collect());
    }
    let list = line.strip_prefix("CMD ").or_else(|| line.strip_prefix("command: "))?;
    let words: Vec<String> = serde_json::from_str(list).unwrap_or_else(|error| panic!("{line}: {error}"));
    Some(words.into_iter().skip_while(|word| word == "hook").collect())
}

#[test]
fn every_command_that_is_deployed_is_one() {
    let deployed = deployed();
    for role in ["run", "serve", "smash", "relay", "status"] {
        assert!(deployed.iter().any(|(_, words)| words[0] == role), "nothing starts `hook {role}`");
    }
    for (file, words) in deployed {
        if let Err(error) =
            Cli::try_parse_from(std::iter::once("hook").chain(words.iter().map(String::as_str)))
        {
            panic!("{file}: {words:?}: {error}");
        }
    }
}

const OPERATING: &str = include_str!("../../../docs/operating.md");

/// Every `code span` of a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_metric_that_is_to_be_watched_exists() {
    let registered = include_str!("../../core/src/metrics.rs");
    let is_metric = |span: &&str| ["hook_", "serve_", "smash_"].iter().any(|prefix| span.starts_with(prefix));
    let names: BTreeSet<&str> = code(OPERATING)
        .filter(is_metric)
        .map(|span| span.split(['{', '[']).next().unwrap_or_default())
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let family = name.strip_prefix("hook_").unwrap_or(name);
        let family = family.strip_suffix("_total").unwrap_or(family);
        assert!(registered.contains(&format!("\"{family}\",")), "there is no metric `{name}`");
    }
}

/// The texts of all sources of the crates.
fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|kind| kind == "rs") {
            found.push_str(&fs::read_to_string(&entry).unwrap());
        }
    }
}

#[test]
fn every_log_line_that_is_explained_is_written_at_its_level() {
    let mut text = String::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path().join("src")) {
        sources(&folder, &mut text);
    }
    let table = OPERATING.split("| log line |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|row| row.starts_with("| `")).map(|row| row.split(" | ").collect()).collect();
    assert!(rows.len() > 8, "the page has lost its rows");
    for row in rows {
        let (line, level) = (row[0].trim_start_matches("| ").trim_matches('`'), row[1].to_lowercase());
        let at = text.find(&format!("\"{line}\"")).unwrap_or_else(|| panic!("nothing logs `{line}`"));
        let call = text[..at].rfind("tracing::").map(|from| &text[from + "tracing::".len()..at]).unwrap();
        assert!(call.starts_with(&format!("{level}!(")), "`{line}` is not at {level}: {}", &call[..10]);
    }
}
