//! What is wrong with a source beyond types, found without any I/O.
//!
//! A key that the algorithm has no use for is an error here, so that nothing is
//! accepted and ignored.

use http::{HeaderValue, Method};

use super::{
    Algorithm, Encoding, Handshake, Pick, SourceSpec, TimestampRule,
    content::{Content, Name},
};
use crate::{driver::Problem, plan::SourcePlan, secret::SecretRef};

/// Everything that is wrong with a source.
pub fn check(plan: &SourcePlan) -> Vec<Problem> {
    let spec = &*plan.spec;
    let mut problems = Problems(Vec::new());
    problems.secrets(plan);
    problems.unused(spec);
    problems.scheme(spec);
    if let Some(rule) = &spec.timestamp {
        problems.timestamp(spec, rule);
    }
    problems.meaning(spec);
    spec.handshakes.iter().for_each(|handshake| problems.handshake(handshake));
    problems.when(plan.rate_per_minute == Some(0), "rate_per_minute", "takes nothing, use 1 or more");
    problems.0
}

struct Problems(Vec<Problem>);

impl Problems {
    fn when(&mut self, wrong: bool, key: &'static str, message: &str) {
        if wrong {
            self.0.push(Problem { key, message: message.to_owned() });
        }
    }

    fn secrets(&mut self, plan: &SourcePlan) {
        let none = !plan.spec.algorithm.uses_secrets();
        let unnamed = plan.secrets.is_empty() && !none;
        self.when(
            unnamed,
            "secret_env",
            "no secret is named, so nothing could be verified: write `secret_env`, `secrets_env` or `secret_file`, or `preset = \"none\"` to take anything from anybody",
        );
        self.when(
            none && !plan.secrets.is_empty(),
            "secret_env",
            &format!("the algorithm `{}` uses no secret", plan.spec.algorithm.name()),
        );
        let is_name =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let odd = |secret: &SecretRef| matches!(secret, SecretRef::Env(name) if !is_name(name));
        // The text is not repeated here, it may be the secret itself.
        self.when(
            plan.secrets.iter().any(odd),
            "secret_env",
            "is the name of an environment variable (letters, digits and `_`), never the secret itself",
        );
    }

    fn unused(&mut self, spec: &SourceSpec) {
        use Algorithm::{Equality, None, StandardWebhooks, Transport};
        let written = [
            ("signature_headers", !spec.signature_headers.is_empty(), &[Transport, None][..]),
            ("prefix", !spec.prefix.is_empty(), &[Transport, None, StandardWebhooks]),
            ("encoding", spec.encoding.is_some(), &[Transport, None, StandardWebhooks]),
            ("separator", spec.separator.is_some(), &[Transport, None, StandardWebhooks]),
            ("signature_field", spec.signature_field.is_some(), &[Transport, None, StandardWebhooks]),
            ("content", spec.content.is_some(), &[Transport, None, StandardWebhooks, Equality]),
            ("id_header", spec.id_header.is_some(), &[Transport, None, Equality]),
            ("public_url", spec.public_url.is_some(), &[Transport, None, StandardWebhooks, Equality]),
            ("secret_encoding", spec.secret_encoding.is_some(), &[Transport, None, StandardWebhooks]),
            ("timestamp", spec.timestamp.is_some(), &[Transport, None]),
        ];
        for (key, written, idle) in written {
            let message = format!("has no use with the algorithm `{}`", spec.algorithm.name());
            self.when(written && idle.contains(&spec.algorithm), key, &message);
        }
    }

    fn scheme(&mut self, spec: &SourceSpec) {
        let verifies = spec.algorithm.uses_secrets();
        self.when(
            verifies && spec.signature_headers.is_empty(),
            "signature_headers",
            "names no header, so where is the signature?",
        );
        self.when(spec.separator.as_deref() == Some(""), "separator", "is empty, write `,` or ` `");
        let plain = spec.encoding == Some(Encoding::Plain) && spec.algorithm != Algorithm::Equality;
        self.when(plain, "encoding", "`plain` is for tokens; a signature is `hex`, `base64` or `base64url`");
        if spec.algorithm == Algorithm::StandardWebhooks {
            self.when(spec.id_header.is_none(), "id_header", "is needed by `standard-webhooks`");
            self.when(spec.timestamp.is_none(), "timestamp", "is needed by `standard-webhooks`");
        } else if verifies && spec.algorithm != Algorithm::Equality {
            self.content(spec, &spec.content.clone().unwrap_or_else(Content::body));
        }
    }

    fn content(&mut self, spec: &SourceSpec, content: &Content) {
        self.when(
            !content.uses(Name::Body),
            "content",
            "leaves `{body}` unsigned, so anybody could replace it",
        );
        let pairs = [
            (Name::Id, "`{id}`", "id_header", spec.id_header.is_some()),
            (Name::Url, "`{url}`", "public_url", spec.public_url.is_some()),
        ];
        for (name, shown, key, written) in pairs {
            let used = content.uses(name);
            self.when(used && !written, key, &format!("is needed, because {shown} is signed"));
            self.when(written && !used, key, &format!("has no use, because {shown} is not in `content`"));
        }
        let untimed = content.uses(Name::Timestamp) && spec.timestamp.is_none();
        self.when(untimed, "timestamp", "is needed, because `{timestamp}` is signed");
        let not_url = spec.public_url.as_ref().is_some_and(|text| url::Url::parse(text).is_err());
        self.when(not_url, "public_url", "is not a URL, write it such as `https://hooks.example.com`");
    }

    fn timestamp(&mut self, spec: &SourceSpec, rule: &TimestampRule) {
        let places = [rule.header.is_some(), rule.field.is_some(), rule.pointer.is_some()];
        let count = places.into_iter().filter(|place| *place).count();
        self.when(count != 1, "timestamp", "is in exactly one of `header`, `field` and `pointer`");
        let loose = rule.field.is_some() && spec.separator.is_none();
        self.when(loose, "timestamp", "`field` is a key of a list, which needs a `separator`");
        let nobody = rule.tolerance_seconds == 0;
        self.when(nobody, "timestamp", "`tolerance_seconds` of 0 takes nothing, use 1 or more");
    }

    fn meaning(&mut self, spec: &SourceSpec) {
        self.when(
            spec.event_type.is_empty(),
            "event_type",
            "is empty, end it with a fixed text such as `event`",
        );
        let unnamed = spec.form_field.as_deref() == Some("");
        self.when(unnamed, "form_field", "is empty, write the field's name");
        let Some(reply) = &spec.reply else { return };
        self.when(!status(reply.status), "reply", "`status` is not an HTTP status");
        let odd = HeaderValue::from_str(&reply.content_type).is_err() || reply.content_type.is_empty();
        self.when(odd, "reply", "`content_type` is not a media type");
        let mute = matches!(reply.status, 204 | 304) && !reply.body.is_empty();
        self.when(mute, "reply", "a status of 204 or 304 carries no `body`");
    }

    fn handshake(&mut self, handshake: &Handshake) {
        let method = Method::from_bytes(handshake.method.as_bytes());
        let odd = method.is_err() || handshake.method.chars().any(|c| c.is_ascii_lowercase());
        self.when(odd, "handshakes", "`method` is not an HTTP method in capitals");
        self.when(
            handshake.when.is_empty(),
            "handshakes",
            "`when` is empty, so every event would be a handshake",
        );
        self.when(!status(handshake.status), "handshakes", "`status` is not an HTTP status");
        let both = handshake.echo.is_some() && handshake.json.is_some();
        self.when(both, "handshakes", "the body is either `echo` or `json`");
        if let Some(message) = handshake.json.as_ref().and_then(unreadable) {
            self.when(true, "handshakes", &message);
        }
    }
}

fn status(status: u16) -> bool {
    (200..=599).contains(&status)
}

/// The first text in a JSON answer that cannot be filled in.
fn unreadable(json: &serde_json::Value) -> Option<String> {
    match json {
        serde_json::Value::String(text) => Pick::parse(text).err(),
        serde_json::Value::Array(items) => items.iter().find_map(unreadable),
        serde_json::Value::Object(entries) => entries.values().find_map(unreadable),
        _ => None,
    }
}
