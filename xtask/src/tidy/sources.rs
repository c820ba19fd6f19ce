//! What every source file keeps to: how it opens, how long it is, what it must
//! not contain.
//!
//! Tests are treated apart where that is right: a `tests` folder, `tests.rs`, and
//! whatever follows the first `#[cfg(test)]` at the margin.

use std::path::Path;

use super::{Document, Finding};

/// Lines of code that are not tests.
const LONGEST: usize = 500;

/// Files that may be longer, each with the reason.
const LONGER: &[(&str, &str)] = &[];

/// What no line of Rust may contain, with what to do instead.
const BANNED: &[(&str, &str)] = &[
    (concat!("#[ig", "nore"), "a test that does not run proves nothing"),
    (concat!("al", "low("), "write `#[expect(lint, reason = \"…\")]`"),
    (concat!("TO", "DO"), "do it, or write an issue"),
    (concat!("FIX", "ME"), "mend it, or write an issue"),
];

/// What belongs to the binary: the environment and the terminal.
const ONLY_THE_BINARY: &[&str] = &["env::var", "println!(", "eprintln!(", "print!(", "eprint!("];

/// What the pipeline and everything below it must not open.
const SOCKETS: &[&str] =
    &["tokio::net", "std::net::Tcp", "std::net::Udp", "TcpListener", "TcpStream", "UnixStream", "UdpSocket"];

/// The folders of crates that open no socket.
const SOCKETLESS: &[&str] =
    &["crates/core/src", "crates/event/src", "crates/ledger/src", "crates/log/src", "crates/sdk/src"];

/// The folders of crates that print and read the environment.
const BINARIES: &[&str] = &["crates/hook", "xtask", "bench", "broker"];

pub(super) fn check(documents: &[Document]) -> Vec<Finding> {
    let sources =
        documents.iter().filter(|document| document.path.extension().is_some_and(|kind| kind == "rs"));
    sources
        .flat_map(|source| [opening(source), length(source), contents(source)].into_iter().flatten())
        .collect()
}

/// `//!` first: why the file exists. A program that must fail to compile is an
/// exhibit and not a source.
fn opening(source: &Document) -> Vec<Finding> {
    let exhibit = source.path.iter().any(|folder| folder == "ui" || folder == "compile_fail");
    if exhibit || source.text.starts_with("//!") {
        return Vec::new();
    }
    vec![Finding::line(source, 0, "must open with `//!`: why this file exists and what its rule is")]
}

fn length(source: &Document) -> Vec<Finding> {
    let lines = code(source).count();
    let longer = LONGER.iter().any(|(file, _)| source.path == Path::new(file));
    match (lines > LONGEST, longer) {
        (true, false) => vec![Finding::file(
            source,
            format!("has {lines} lines that are not tests, more than {LONGEST}: split it"),
        )],
        (false, true) => {
            vec![Finding::file(source, "is listed in `LONGER` and is not long: remove it there")]
        }
        _ => Vec::new(),
    }
}

fn contents(source: &Document) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for (text, instead) in BANNED {
            if mentions(line, text) {
                found.push(Finding::line(source, index, format!("`{text}` is not used here: {instead}")));
            }
        }
    }
    let inside = |folders: &[&str]| folders.iter().any(|folder| source.path.starts_with(folder));
    for (index, line) in code(source).enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        if !inside(BINARIES)
            && let Some(text) = ONLY_THE_BINARY.iter().find(|text| mentions(line, text))
        {
            found.push(Finding::line(
                source,
                index,
                format!("`{text}` belongs to crates/hook: take it as an argument, return it as a value"),
            ));
        }
        if inside(SOCKETLESS)
            && let Some(text) = SOCKETS.iter().find(|text| mentions(line, text))
        {
            found.push(Finding::line(
                source,
                index,
                format!("`{text}`: this crate opens no socket, an adapter does"),
            ));
        }
    }
    found
}

/// Whether `text` stands in the line and is not the end of a longer word.
fn mentions(line: &str, text: &str) -> bool {
    let word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(text).any(|(at, _)| !line[..at].ends_with(word) || !text.starts_with(word))
}

/// The lines before the tests; none of a file that is all tests.
fn code(source: &Document) -> impl Iterator<Item = &str> {
    let in_tests = source.path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "benches");
    source.text.lines().take_while(move |line| !in_tests && *line != "#[cfg(test)]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        check(&[Document { path: path.into(), text: text.to_owned() }])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_file_says_why_it_exists() {
        assert!(check_text("crates/core/src/a.rs", "//! Why.\nfn a() {}\n").is_empty());
        assert_eq!(check_text("crates/core/src/a.rs", "fn a() {}\n").len(), 1);
    }

    #[test]
    fn length_counts_what_is_no_test() {
        let code = "fn a() {}\n".repeat(LONGEST);
        assert!(check_text("a.rs", &format!("//! Why.\n{}", &code[10..])).is_empty());
        assert_eq!(check_text("a.rs", &format!("//! Why.\n{code}")).len(), 1);
        assert!(check_text("a.rs", &format!("//! Why.\n#[cfg(test)]\nmod tests {{}}\n{code}")).is_empty());
        assert!(check_text("a/tests/b.rs", &format!("//! Why.\n{code}")).is_empty());
    }

    #[test]
    fn banned_text_is_found_with_its_line() {
        for (text, _) in BANNED {
            let found = check_text("a.rs", &format!("//! Why.\n\n    {text} x\n"));
            assert_eq!(found.len(), 1, "{text}");
            assert!(found[0].starts_with("a.rs:3: "), "{}", found[0]);
        }
        assert!(check_text("a.rs", "//! Why.\nfn disallow(x: u8) {}\n").is_empty());
    }

    #[test]
    fn the_terminal_and_sockets_stay_where_they_belong() {
        let print = "//! Why.\nfn a() { println!(\"x\"); }\n";
        assert_eq!(check_text("crates/core/src/a.rs", print).len(), 1);
        assert!(check_text("crates/hook/src/a.rs", print).is_empty());
        assert!(check_text("crates/core/src/a.rs", "//! Why.\n// println!(\"x\")\n").is_empty());
        let socket = "//! Why.\nuse tokio::net::X;\n";
        assert_eq!(check_text("crates/core/src/a.rs", socket).len(), 1);
        assert!(check_text("crates/adapters/src/a.rs", socket).is_empty());
    }
}
