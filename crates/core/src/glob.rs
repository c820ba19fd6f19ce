//! Globs over dotted names: `*` is any run of characters, `?` is one.

use std::fmt;

/// A pattern for a source, an event type or a topic.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern `text`; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(&byte) if byte == b'?' || byte == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    // Let the last star take one more byte and try again from there.
                    let Some((at, taken)) = star else { return false };
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
            }
        }
        pattern[p..].iter().all(|&byte| byte == b'*')
    }
}

impl Glob {
    /// Whether some name fits both.
    pub fn meets(&self, other: &Self) -> bool {
        let (one, other) = (self.0.as_bytes(), other.0.as_bytes());
        // `row[o]`: whether what is left of `one` meets what is left of `other` from `o`.
        let mut row: Vec<bool> =
            (0..=other.len()).map(|o| other[o..].iter().all(|&byte| byte == b'*')).collect();
        for &byte in one.iter().rev() {
            let mut next = vec![false; row.len()];
            for o in (0..row.len()).rev() {
                let its = other.get(o);
                next[o] = match (byte, its) {
                    (b'*', Some(_)) => row[o] || next[o + 1],
                    (b'*', None) => row[o],
                    (_, Some(b'*')) => row[o] || next[o + 1],
                    (_, Some(&its)) => (byte == its || byte == b'?' || its == b'?') && row[o + 1],
                    (_, None) => false,
                };
            }
            row = next;
        }
        row[0]
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meets() {
        for (one, other, meets) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "", false),
            ("", "*", true),
            ("webhooks.*", "webhooks.core", true),
            ("webhooks.*", "*.core", true),
            ("webhooks.*", "edge.*", false),
            ("a*b", "b*a", false),
            ("a*b", "a*c*b", true),
            ("?", "*", true),
            ("??", "a", false),
            ("*x*", "*y*", true),
            ("in.?", "in.", false),
        ] {
            assert_eq!(Glob::new(one).meets(&Glob::new(other)), meets, "{one} and {other}");
            assert_eq!(Glob::new(other).meets(&Glob::new(one)), meets, "{other} and {one}");
        }
    }

    #[test]
    fn what_fits() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "anything.at.all", true),
            ("push", "push", true),
            ("push", "pushed", false),
            ("pull_request.*", "pull_request.opened", true),
            ("pull_request.*", "pull_request", false),
            ("*.opened", "issues.opened", true),
            ("*.opened", "issues.opened.twice", false),
            ("webhooks.*.dlq", "webhooks.a.b.dlq", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("v?", "v1", true),
            ("v?", "v", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), fits, "{pattern} against {name}");
        }
    }
}
