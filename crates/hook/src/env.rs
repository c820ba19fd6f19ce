//! The environment: the one place that reads it, with the files of `--env-file` and the
//! credentials of a service manager.

use std::path::{Path, PathBuf};

use anyhow::Context;
use hook_core::secret::Environment;

use crate::fault;

/// Where a variable was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a file of `--env-file`.
    File(PathBuf),
    /// In a file of the service manager's credentials (`LoadCredential=`).
    Credential(PathBuf),
    /// In the process's own environment.
    Process,
}

/// Names the folder with the service manager's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The process's variables, over its credentials, over those of the files; a later file
/// wins over an earlier.
pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<Environment> {
    let found = found(files)?;
    Ok(Environment::new(found.into_iter().map(|(name, value, _)| (name, value))))
}

/// The same with where each was found; the last of a name counts.
pub(crate) fn found(files: &[PathBuf]) -> anyhow::Result<Vec<(String, String, Origin)>> {
    let mut variables = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| fault::usage(format!("cannot read the env file {}: {error}", file.display())))?;
        let parsed = parse(&text).with_context(|| format!("in the env file {}", file.display()))?;
        variables.extend(parsed.into_iter().map(|(name, value)| (name, value, Origin::File(file.clone()))));
    }
    if let Some((_, folder)) = process().find(|(name, _)| name == CREDENTIALS) {
        variables.extend(credentials(Path::new(&folder))?);
    }
    variables.extend(process().map(|(name, value)| (name, value, Origin::Process)));
    Ok(variables)
}

/// Each credential whose name could be a variable's is one; one trailing line end is
/// not part of it. A folder that is not there holds none: an image names it before
/// anybody has put secrets into it.
fn credentials(folder: &Path) -> anyhow::Result<Vec<(String, String, Origin)>> {
    let failed = |path: &Path, error: std::io::Error| {
        fault::usage(format!("cannot read the credentials in {}: {error}", path.display()))
    };
    let mut variables = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(variables),
        entries => entries.map_err(|error| failed(folder, error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_variable(name))
        else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        let value =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        variables.push((name.to_owned(), value.to_owned(), Origin::Credential(path.clone())));
    }
    Ok(variables)
}

fn is_variable(name: &str) -> bool {
    let letter = |byte: u8| byte == b'_' || byte.is_ascii_uppercase();
    name.bytes().next().is_some_and(letter) && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
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
    fn credentials_are_variables_by_the_names_of_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("GITHUB_SECRET", "s3cret\n"),
            ("TOKEN_2", "two\nlines\r\n"),
            ("server-key.pem", "x"),
            ("2ND", "x"),
        ];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut found = credentials(folder.path()).unwrap();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let shown: Vec<_> = found.iter().map(|(name, value, _)| (name.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("GITHUB_SECRET", "s3cret"), ("TOKEN_2", "two\nlines")]);
        assert_eq!(found[0].2, Origin::Credential(folder.path().join("GITHUB_SECRET")));
        std::fs::write(folder.path().join("BINARY"), [0xff]).unwrap();
        assert!(credentials(folder.path()).unwrap_err().to_string().contains("BINARY"));
        assert_eq!(credentials(&folder.path().join("nowhere")).unwrap(), []);
        assert!(credentials(&folder.path().join("TOKEN_2")).is_err(), "no folder");
    }

    #[test]
    fn lines_of_an_env_file() {
        let text = "# secrets\nA=1\nexport B = \"two words\"\nC='x=y'\n\nD=\n";
        let want = [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")];
        assert_eq!(parse(text).unwrap(), want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(parse("oops").is_err());
    }
}
