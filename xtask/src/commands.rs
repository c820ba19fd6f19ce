//! Commands that documents show exist: each line of a ```` ```sh ```` block that
//! begins with `hook` names a command, and only flags that its help lists.

use std::path::Path;

use anyhow::{Result, bail};

use crate::repo;

/// What a line asks `hook` to do.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    words: Vec<&'a str>,
    flags: Vec<&'a str>,
}

pub(crate) fn check() -> Result<()> {
    let hook = repo::hook()?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in repo::files()?.iter().filter(|file| file.extension().is_some_and(|kind| kind == "md")) {
        for (number, line) in lines(&repo::read(file)?) {
            count += 1;
            if let Err(error) = check_line(&hook, &line) {
                wrong.push(format!("{}:{number}: {error}", file.display()));
            }
        }
    }
    println!("{count} commands in documents checked");
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

fn check_line(hook: &Path, line: &Line<'_>) -> Result<()> {
    let help = std::process::Command::new(hook).args(&line.words).arg("--help").output()?;
    let shown = line.words.join(" ");
    if !help.status.success() {
        bail!("there is no command `hook {shown}`");
    }
    let text = String::from_utf8_lossy(&help.stdout);
    let listed: Vec<&str> = text.split(|end: char| end.is_whitespace() || ",=[]".contains(end)).collect();
    let unknown: Vec<&str> = line.flags.iter().copied().filter(|flag| !listed.contains(flag)).collect();
    if !unknown.is_empty() {
        bail!("`hook {shown}` has no {}", unknown.join(", "));
    }
    Ok(())
}

/// The lines of `sh` blocks that call `hook`, with their numbers.
fn lines(text: &str) -> Vec<(usize, Line<'_>)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        match line.trim() {
            "```sh" => inside = true,
            fence if fence.starts_with("```") => inside = false,
            line if inside => found.extend(parse(line).map(|line| (index + 1, line))),
            _ => {}
        }
    }
    found
}

/// Words up to the first argument are the command; a comment ends the line.
fn parse(line: &str) -> Option<Line<'_>> {
    let line = line.split(" #").next()?;
    let rest = line.strip_prefix("hook ").or_else(|| line.strip_prefix("cargo run --release -- "))?;
    let is_word = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase());
    let words = rest.split_whitespace().take_while(is_word).collect();
    let flags = rest.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    Some(Line { words, flags: flags.map(|flag| flag.split('=').next().unwrap_or(flag)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_from_sh_blocks_only() {
        let text = "hook nonsense\n```sh\nhook dlq replay --adapter reviewer --rate=5   # --not\ncargo test\n```\n```toml\nhook = 1\n```\n";
        let expected = Line { words: vec!["dlq", "replay"], flags: vec!["--adapter", "--rate"] };
        assert_eq!(lines(text), [(3, expected)]);
    }

    #[test]
    fn an_argument_ends_the_command() {
        assert_eq!(parse("hook events show 0198f3c2-x").unwrap().words, ["events", "show"]);
        assert_eq!(parse("cargo run --release -- demo").unwrap().words, ["demo"]);
        assert_eq!(parse("cargo run"), None);
    }
}
