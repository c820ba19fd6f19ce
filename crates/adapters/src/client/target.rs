//! What can be said about a destination's URL and headers before any I/O.

use std::collections::BTreeMap;

use hook_core::driver::{BuildError, Problem};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    guard::{Guard, Networks},
    row::problem,
};

/// Headers that the driver, HTTP itself or a proxy in between owns.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];
const RESERVED_PREFIXES: &[&str] = &["webhook-", "x-forwarded-"];
/// Headers whose value is a secret.
const SECRET: &[&str] = &["authorization", "cookie", "x-api-key"];

/// Problems of `url`, against the networks that the contract allows.
pub(crate) fn check_url(url: &Url, allow: &Networks) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !matches!(url.scheme(), "http" | "https") {
        let message = format!("`{}` is not a scheme to deliver to, expected `https` or `http`", url.scheme());
        problems.push(problem("url", message));
    }
    if !url.username().is_empty() || url.password().is_some() {
        problems.push(problem("url", "a url must not hold a user or password, name a secret by `token_env`"));
    }
    if ["${", "$%7B"].iter().any(|begun| url.as_str().contains(begun)) {
        problems.push(problem("url", "nothing fills in a placeholder such as `${NAME}`, write the url out"));
    }
    if let Err(blocked) = Guard::new(allow.clone()).url(url) {
        problems.push(problem("url", blocked.to_string()));
    }
    problems
}

/// Problems of the contract's own headers.
pub(crate) fn check_headers(headers: &BTreeMap<String, String>) -> Vec<Problem> {
    headers.iter().filter_map(|(name, value)| header_problem(name, value)).collect()
}

/// The contract's own headers, which have been checked.
pub(crate) fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, BuildError> {
    let bad = |name: &str| BuildError::Resource(format!("`{name}` cannot be a header"));
    headers
        .iter()
        .map(|(name, value)| {
            let header = name.parse::<HeaderName>().map_err(|_| bad(name))?;
            Ok((header, HeaderValue::from_str(value).map_err(|_| bad(name))?))
        })
        .collect()
}

/// A secret as a header's value; its error names the variable, never the value.
pub(crate) fn sensitive(value: &str, variable: &str) -> Result<HeaderValue, BuildError> {
    let mut header = HeaderValue::from_str(value)
        .map_err(|_| BuildError::Resource(format!("the value of `{variable}` cannot be sent in a header")))?;
    header.set_sensitive(true);
    Ok(header)
}

/// A token as the value of `Authorization`.
pub(crate) fn bearer(token: &SecretString, variable: &str) -> Result<HeaderValue, BuildError> {
    let value = SecretString::from(format!("Bearer {}", token.expose_secret()));
    sensitive(value.expose_secret(), variable)
}

/// The URL for a person: no credentials, and no query, which often holds some.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that cannot have a user has none to take off.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn header_problem(name: &str, value: &str) -> Option<Problem> {
    let message = if name.parse::<HeaderName>().is_err() {
        format!("`{name}` is not a header name")
    } else if HeaderValue::from_str(value).is_err() {
        format!("the value of `{name}` cannot be sent in a header")
    } else if value.contains("${") {
        format!("nothing fills in the placeholder in `{name}`, name the variable by `headers_env`")
    } else {
        let lower = name.to_ascii_lowercase();
        if SECRET.contains(&lower.as_str()) {
            format!(
                "the value of `{name}` is a secret, which a contract names and never writes: use `token_env` or `headers_env`"
            )
        } else if is_reserved(&lower) {
            format!("`{name}` is set by hook or by HTTP and cannot be chosen")
        } else {
            return None;
        }
    };
    Some(problem("headers", message))
}

/// Whether a header's name cannot be chosen.
pub(crate) fn is_reserved(lower: &str) -> bool {
    RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expect: usize| {
            assert_eq!(check_url(&url.parse().unwrap(), &Networks::default()).len(), expect, "{url}");
        };
        check("https://example.com/in", 0);
        check("http://example.com:8080/in?x=1", 0);
        check("ftp://example.com/", 1);
        check("https://user:pw@example.com/", 1);
        check("https://10.0.0.1/", 1);
        check("file:///etc/passwd", 2);
        check("https://example.com/${TOKEN}", 1);
        check("https://example.com/in?key=${TOKEN}", 1);
        check("https://example.com/in?price=$5", 0);
    }

    #[test]
    fn headers() {
        let check = |name: &str, value: &str, expect: Option<&str>| {
            let problem = header_problem(name, value).map(|problem| problem.message);
            let fits = match (expect, &problem) {
                (Some(part), Some(message)) => message.contains(part),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{name}: {problem:?}");
        };
        check("X-Team", "reviews", None);
        check("accept", "application/json", None);
        check("Authorization", "Bearer x", Some("token_env"));
        check("X-Api-Key", "x", Some("headers_env"));
        check("X-Team", "${TEAM}", Some("headers_env"));
        check("X-Price", "$5", None);
        check("Host", "x", Some("cannot be chosen"));
        check("X-Forwarded-Host", "x", Some("cannot be chosen"));
        check("Transfer-Encoding", "chunked", Some("cannot be chosen"));
        check("Webhook-Id", "x", Some("cannot be chosen"));
        check("bad name", "x", Some("not a header name"));
        check("x-a", "one\r\nx-b: two", Some("cannot be sent"));
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let url = "https://u:p@example.com:8443/in?token=s3cret#frag".parse().unwrap();
        assert_eq!(shown(&url), "https://example.com:8443/in");
    }
}
