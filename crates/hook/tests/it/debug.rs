//! `hook debug`: what it tells, and what it never does.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Done, Hook, SECRET, contract};

fn row<'a>(rows: &'a Value, name: &str) -> &'a Value {
    let found = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("`{name}` is not in {rows:#}"))
}

fn hook() -> Hook {
    let mut hook = Hook::new(|bind| contract(bind, &[]));
    hook.set_variable("KAFKA_BROKERS", "kafka.internal:9093");
    hook.set_variable("KAFKA_SASL_PASSWORD", "hunter2");
    hook.set_variable("GITHUB_SECRT", "misspelt");
    hook.set_variable("HMAC_SECRET_GITHUB", "of another program");
    hook.set_variable("RUST_LOG", "debug");
    hook
}

#[test]
fn variables_are_told_with_their_users_and_secrets_are_not_shown() {
    let hook = hook();
    let rows = hook.json(&["debug", "env"]);
    let secret = row(&rows, "GITHUB_SECRET");
    assert_eq!(
        (&secret["state"], &secret["secret"], &secret["from"]),
        (&"set".into(), &true.into(), &"environment".into())
    );
    assert_eq!(secret["used_by"][0], "the source `github`");
    assert_eq!(row(&rows, "KAFKA_BROKERS")["value"], "kafka.internal:9093");
    assert_eq!(row(&rows, "RUST_LOG")["value"], "debug");
    assert_eq!(row(&rows, "NO_COLOR")["state"], "set");
    assert_eq!(row(&rows, "NOTIFY_SOCKET")["state"], "unset");
    assert_eq!(row(&rows, "HOOK_DATA")["used_by"][0], "`--data`");
    assert_eq!(row(&rows, "HMAC_SECRET_GITHUB")["used_by"], Value::Array(Vec::new()));

    let shown = hook.run(&["debug", "env"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(
        shown.stdout.contains("nothing reads it") && shown.stdout.contains("set, not shown"),
        "{}",
        shown.stdout
    );
    for text in [rows.to_string(), shown.stdout, shown.stderr] {
        for secret in [SECRET, "hunter2", "of another program", "misspelt"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_secret_is_told() {
    let mut hook = hook();
    for (value, state) in [("", "empty"), ("${GITHUB_SECRET}", "placeholder")] {
        hook.set_variable("GITHUB_SECRET", value);
        assert_eq!(row(&hook.json(&["debug", "env"]), "GITHUB_SECRET")["state"], state);
    }
    hook.unset_variable("GITHUB_SECRET");
    assert_eq!(row(&hook.json(&["debug", "env"]), "GITHUB_SECRET")["state"], "unset");
    std::fs::write(hook.folder().join("secrets.env"), "GITHUB_SECRET=x\n").unwrap();
    let rows = hook.json(&["--env-file", "secrets.env", "debug", "env"]);
    assert_eq!(row(&rows, "GITHUB_SECRET")["from"], "file secrets.env");
    let file = hook.folder().join("github.key");
    let text = format!("secret_file = \"{}\"", file.display());
    hook.set_contract(move |bind| contract(bind, &[]).replace("secrets_env = [\"GITHUB_SECRET\"]", &text));
    assert_eq!(row(&hook.json(&["debug", "env"]), file.to_str().unwrap())["state"], "unreadable");
    std::fs::write(&file, "s3cret").unwrap();
    assert_eq!(row(&hook.json(&["debug", "env"]), file.to_str().unwrap())["state"], "set");
}

#[test]
fn secrets_are_shown_only_to_whoever_asks_twice() {
    let hook = hook();
    let once = hook.run(&["debug", "env", "--no-redact"]);
    assert_eq!(once.code, Some(2), "{once:?}");
    assert!(once.stdout.is_empty() && once.stderr.contains("--yes"), "{once:?}");
    assert_eq!(hook.run(&["debug", "env", "--yes"]).code, Some(2));
    let rows = hook.json(&["debug", "env", "--no-redact", "--yes"]);
    assert_eq!(row(&rows, "GITHUB_SECRET")["value"], SECRET);
}

#[test]
fn a_contract_with_errors_hides_only_what_it_names() {
    let mut hook = hook();
    hook.set_contract(|_| "nonsense".to_owned());
    let shown = hook.run(&["debug", "env"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stderr.contains("hook check") && shown.stdout.contains("KAFKA_BROKERS"), "{shown:?}");
}

#[test]
fn capabilities_are_those_of_this_build_and_this_disk() {
    let folder = TempDir::new().unwrap();
    let json = |args: &[&str]| -> Value {
        let done = Done::of(folder.path(), &[&["--json"], args].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    };
    let all = json(&["debug", "capabilities"]);
    assert_eq!(all["data"], Value::Null);
    let kafka =
        all["features"].as_array().unwrap().iter().any(|one| one["name"] == "kafka" && one["on"] == true);
    assert_eq!(kafka, all["log_backends"].as_array().unwrap().contains(&"kafka".into()));
    assert_eq!(kafka, all["librdkafka"].as_str().is_some_and(|version| version.starts_with("2.")));
    assert!(all["ingress_drivers"].as_array().unwrap().contains(&"http_webhook_ingress".into()));
    assert!(all["presets"].as_array().unwrap().contains(&"github".into()));

    let disk = &json(&["--data", ".", "debug", "capabilities"])["data"];
    assert!(disk["fallocate"].is_boolean() && disk["flush_ms_median"].as_f64().unwrap() > 0.0, "{disk:#}");
    let missing = Done::of(folder.path(), &["--data", "nowhere", "debug", "capabilities"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
}
