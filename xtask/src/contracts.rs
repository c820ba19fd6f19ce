//! `hook check` on every contract that the repository shows.
//!
//! Those are the files in `contracts/` and `deploy/` and, in any Markdown file, the blocks that
//! open with ```` ```toml contract ````: what a reader copies must be accepted.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::repo;

/// A contract found in a document, with the line where it begins.
struct Snippet {
    document: PathBuf,
    line: usize,
    text: String,
}

pub(crate) fn check() -> Result<()> {
    let files = repo::files()?;
    let mut contracts: Vec<PathBuf> =
        files.iter().filter(|file| is_contract(file)).map(|file| repo::root().join(file)).collect();
    for snippet in snippets(&files)? {
        contracts.push(save(&snippet)?);
    }
    let hook = repo::hook()?;
    let mut refused = Vec::new();
    for contract in &contracts {
        let mut check = std::process::Command::new(&hook);
        check.args(["--contract".as_ref(), contract.as_os_str(), "check".as_ref()]).current_dir(repo::root());
        if repo::run(&mut check).is_err() {
            refused.push(contract.display().to_string());
        }
    }
    println!("{} contracts checked", contracts.len());
    if !refused.is_empty() {
        bail!("refused: {}", refused.join(", "));
    }
    Ok(())
}

fn is_contract(file: &Path) -> bool {
    let folder = ["contracts", "deploy"].iter().any(|folder| file.starts_with(folder));
    folder && file.extension().is_some_and(|extension| extension == "toml")
}

fn snippets(files: &[PathBuf]) -> Result<Vec<Snippet>> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        found.extend(snippets_of(file, &repo::read(file)?));
    }
    Ok(found)
}

fn snippets_of(document: &Path, text: &str) -> Vec<Snippet> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim() != "```toml contract" {
            continue;
        }
        let block = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
        let text = block.map(|line| format!("{line}\n")).collect();
        found.push(Snippet { document: document.to_owned(), line: index + 1, text });
    }
    found
}

/// Writes a snippet where an error of `hook check` names its document and line.
fn save(snippet: &Snippet) -> Result<PathBuf> {
    let folder = repo::target().join("snippets");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let document = snippet.document.display().to_string().replace('/', "-");
    let file = folder.join(format!("{document}-line-{}.toml", snippet.line));
    std::fs::write(&file, &snippet.text).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_say_so_are_contracts() {
        let text = "# a\n```toml contract\n[app]\nid = \"a\"\n```\n```toml\n[not]\n```\n```sh\nls\n```\n";
        let found = snippets_of(Path::new("docs/a.md"), text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].text.as_str()), (2, "[app]\nid = \"a\"\n"));
    }
}
