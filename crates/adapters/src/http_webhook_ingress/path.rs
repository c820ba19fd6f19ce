//! Which source a path names.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// `/webhook/{source}`: what stands before and after the source's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathTemplate {
    before: String,
    after: String,
}

/// The template as it was written.
impl std::fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{{source}}{}", self.before, self.after)
    }
}

impl PathTemplate {
    fn parse(text: &str) -> Result<Self, String> {
        let hint = "expected such as `/webhook/{source}`";
        if !text.starts_with('/') {
            return Err(format!("`{text}` must start with `/`, {hint}"));
        }
        let Some((before, after)) = text.split_once("{source}") else {
            return Err(format!("`{text}` names no source, {hint}"));
        };
        if !before.ends_with('/') || !(after.is_empty() || after.starts_with('/')) {
            return Err(format!("`{{source}}` must be a whole segment of `{text}`, {hint}"));
        }
        if [before, after].iter().any(|part| part.contains(['{', '}', '?', '#', ' '])) {
            return Err(format!("`{text}` may hold nothing but plain segments and one `{{source}}`, {hint}"));
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The source's name in a path; none if the path is another.
    pub(super) fn source<'a>(&self, path: &'a str) -> Option<&'a str> {
        let source = path.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        (!source.is_empty() && !source.contains('/')).then_some(source)
    }
}

impl Default for PathTemplate {
    fn default() -> Self {
        Self { before: "/webhook/".to_owned(), after: String::new() }
    }
}

/// As the contract writes it.
impl Serialize for PathTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |template: &str, path: &str, expect: Option<&str>| {
            assert_eq!(PathTemplate::parse(template).unwrap().source(path), expect, "{template} {path}");
        };
        check("/webhook/{source}", "/webhook/github", Some("github"));
        check("/webhook/{source}", "/webhook/", None);
        check("/webhook/{source}", "/webhook/a/b", None);
        check("/webhook/{source}", "/other/github", None);
        check("/{source}", "/github", Some("github"));
        check("/in/{source}/events", "/in/github/events", Some("github"));
        check("/in/{source}/events", "/in/github", None);
        check("/in/{source}/events", "/in/events", None);
    }

    #[test]
    fn templates_that_are_none() {
        for text in [
            "",
            "webhook/{source}",
            "/webhook",
            "/w-{source}",
            "/{source}x",
            "/{source}/{source}",
            "/{source}?a",
        ] {
            assert!(PathTemplate::parse(text).is_err(), "{text}");
        }
    }
}
