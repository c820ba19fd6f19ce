//! Secrets by name.
//!
//! A contract names a secret (an environment variable, or a file), never writes
//! it. The environment is a value that the binary passes in; a name that is not
//! set, or set to nothing, is an error at start and not a secret called `""`.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use secrecy::SecretString;

/// The environment, as the binary read it at start.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

/// Where a secret's value is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretRef {
    /// This environment variable.
    Env(String),
    /// This file; one trailing line end is not part of the secret.
    File(PathBuf),
}

/// A secret that could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// The variable is not set.
    #[error(
        "the environment variable `{0}` is not set\n  hint: export it, or put it into a file given by --env-file"
    )]
    Unset(String),
    /// It is set to nothing.
    #[error("the environment variable `{0}` is empty")]
    Empty(String),
    /// The value is a placeholder that something failed to fill in.
    #[error("`{0}` holds an unresolved placeholder such as `${{NAME}}` instead of a secret")]
    Placeholder(String),
    /// The file cannot be read.
    #[error("cannot read the secret file {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Environment {
    /// An environment of these variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Arc::new(variables.into_iter().collect()))
    }

    /// These variables, and `defaults` for those that are not set.
    #[must_use]
    pub fn with_defaults(&self, defaults: &BTreeMap<String, String>) -> Self {
        let mut variables = defaults.clone();
        variables.extend(self.0.iter().map(|(name, value)| (name.clone(), value.clone())));
        Self(Arc::new(variables))
    }

    /// The variable's value, if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// When it is not set, empty, an unfilled placeholder, or the file is unreadable.
    pub fn secret(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        let value = match secret {
            SecretRef::Env(name) => {
                self.get(name).ok_or_else(|| SecretError::Unset(name.clone()))?.to_owned()
            }
            SecretRef::File(path) => read(path)?,
        };
        if value.is_empty() {
            return Err(SecretError::Empty(secret.to_string()));
        }
        if holds_placeholder(&value) {
            return Err(SecretError::Placeholder(secret.to_string()));
        }
        Ok(value.into())
    }
}

/// Whether `${NAME}` stands anywhere in it; other uses of those signs may be a secret's own.
fn holds_placeholder(value: &str) -> bool {
    value.split("${").skip(1).filter_map(|rest| rest.split_once('}')).any(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    })
}

fn read(path: &std::path::Path) -> Result<String, SecretError> {
    let failed = |error: std::io::Error| SecretError::File { path: path.into(), reason: error.to_string() };
    let mut text = std::fs::read_to_string(path).map_err(failed)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The name only; a secret's value has no way to be shown.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_value_is_a_secret() {
        let env = Environment::new(
            [
                ("GOOD", "s3cret"),
                ("EMPTY", ""),
                ("RAW", "${GITHUB_SECRET}"),
                ("PART", "Bearer ${TOKEN}\n"),
                ("SIGNS", "a${b-c}$d}${"),
            ]
            .map(|(k, v)| (k.into(), v.into())),
        );
        let read = |name: &str| env.secret(&SecretRef::Env(name.into())).map(|_| ());
        assert_eq!(read("GOOD"), Ok(()));
        assert_eq!(read("NONE"), Err(SecretError::Unset("NONE".into())));
        assert_eq!(read("EMPTY"), Err(SecretError::Empty("EMPTY".into())));
        for name in ["RAW", "PART"] {
            assert_eq!(read(name), Err(SecretError::Placeholder(name.into())));
        }
        assert_eq!(read("SIGNS"), Ok(()));
        assert!(!format!("{env:?}").contains("s3cret"));
    }
}
