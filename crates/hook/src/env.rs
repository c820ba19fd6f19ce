//! The environment: the one place that reads it, and the files of `--env-file`.

use std::path::PathBuf;

use anyhow::Context;
use hook_core::secret::Environment;

use crate::fault;

/// The process's variables over those of the files; a later file wins over an earlier.
pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<Environment> {
    let mut variables = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| fault::usage(format!("cannot read the env file {}: {error}", file.display())))?;
        variables.extend(parse(&text).with_context(|| format!("in the env file {}", file.display()))?);
    }
    variables.extend(process());
    Ok(Environment::new(variables))
}

/// The variable that says what is logged.
pub(crate) fn log_filter() -> Option<String> {
    process().find(|(name, _)| name == "RUST_LOG").map(|(_, value)| value)
}

/// What the sockets of `LISTEN_FDS` are called, in their order.
pub(crate) fn socket_names() -> Vec<String> {
    let names = process().find(|(name, _)| name == "LISTEN_FDNAMES").map(|(_, value)| value);
    names.iter().flat_map(|names| names.split(':')).map(str::to_owned).collect()
}

fn process() -> impl Iterator<Item = (String, String)> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// `NAME=value` lines; `#` comments, an `export` in front, and quotes around the value.
fn parse(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(fault::usage(format!("line {} is not `NAME=value`", number + 1)));
        };
        variables.push((name.trim().to_owned(), unquote(value.trim()).to_owned()));
    }
    Ok(variables)
}

fn unquote(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_env_file() {
        let text = "# secrets\nA=1\nexport B = \"two words\"\nC='x=y'\n\nD=\n";
        let want = [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")];
        assert_eq!(parse(text).unwrap(), want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(parse("oops").is_err());
    }
}
