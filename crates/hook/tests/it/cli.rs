//! The command line: exit codes, errors for people, JSON for programs.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Done, Hook, Receiver, Sender, contract, eventually};

const BODY: &[u8] = br#"{"action":"opened","number":7,"repository":{"full_name":"acme/api"}}"#;

/// The keys of a JSON object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

#[test]
fn usage_is_exit_code_2() {
    let folder = TempDir::new().unwrap();
    for args in [
        &[][..],
        &["frobnicate"],
        &["run", "--frobnicate"],
        &["events", "show", "not-an-id"],
        &["--validation-mode", "lenient", "check"],
        &["--profile", "nobody", "check"],
        &["--env-file", "nowhere.env", "run"],
        &["drivers", "nobody"],
        &["dlq", "purge"],
    ] {
        let done = Done::of(folder.path(), args);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert!(!done.stderr.is_empty() && done.stdout.is_empty(), "{args:?}: {done:?}");
    }
}

#[test]
fn what_cannot_be_reached_is_exit_code_3() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("payload.json"), "{}").unwrap();
    let nobody = crate::support::free_address();
    let url = format!("http://{nobody}/webhook/github");
    let done = Done::of(folder.path(), &["replay", "webhook", "--url", &url, "--file", "payload.json"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains(&nobody.to_string()), "{}", done.stderr);
}

#[test]
fn help_and_version() {
    let folder = TempDir::new().unwrap();
    let help = Done::of(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for command in [
        "run",
        "serve",
        "smash",
        "status",
        "check",
        "config",
        "drivers",
        "send",
        "events",
        "dlq",
        "replay",
        "log",
        "debug",
        "infra",
        "demo",
        "completions",
    ] {
        assert!(
            help.stdout.lines().any(|line| line.trim_start().starts_with(command)),
            "`{command}` is not in the help"
        );
        let own = Done::of(folder.path(), &[command, "--help"]);
        assert_eq!(own.code, Some(0), "{command}");
        assert!(own.stdout.contains("Usage: hook"), "{command}");
    }
    let version = Done::of(folder.path(), &["--version"]);
    assert_eq!((version.code, version.stdout.starts_with("hook ")), (Some(0), true));
}

#[test]
fn completions_for_every_shell() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let done = Done::of(folder.path(), &["completions", shell]);
        assert_eq!(done.code, Some(0), "{shell}");
        assert!(done.stdout.contains("events"), "{shell}");
    }
}

#[test]
fn errors_are_json_too() {
    let folder = TempDir::new().unwrap();
    let done = Done::of(folder.path(), &["--json", "--contract", "nowhere.toml", "check"]);
    let error: Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!((done.code, error["exit_code"].as_i64()), (Some(2), Some(2)));
    assert!(error["error"].as_str().unwrap().contains("nowhere.toml"));
}

#[test]
fn drivers_and_schema_agree() {
    let folder = TempDir::new().unwrap();
    let json = |args: &[&str]| -> Value {
        let done = Done::of(folder.path(), args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    };
    let schema = json(&["config", "schema"]).to_string();
    assert!(schema.contains("json-schema.org/draft-07"));
    let drivers = json(&["--json", "drivers"]);
    let names: Vec<&str> =
        drivers.as_array().unwrap().iter().map(|driver| driver["name"].as_str().unwrap()).collect();
    for name in
        ["http_webhook_ingress", "http_output", "jsonl_output", "openclaw_http_output", "stdout_output"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    for name in names {
        assert!(schema.contains(&format!("\"{name}\"")), "`{name}` is not in the schema");
    }
}

#[tokio::test]
async fn json_has_the_shapes_that_programs_rely_on() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let mut hook = Hook::running(move |bind| contract(bind, &[("out", address, "")])).await;
    let id = Sender::new().accepted(hook.address, "pull_request", "1", BODY).await;
    let delivered = async |hook: &Hook| {
        eventually("the delivery to be in the ledger", async || {
            let events = hook.json(&["events", "list"]);
            (events[0]["fate"][0]["outcome"] == "delivered").then_some(events)
        })
        .await
    };
    let events = delivered(&hook).await;
    assert_eq!(
        keys(&events[0]),
        ["id", "source", "event_type", "received_at", "subject", "position", "fate"]
    );
    assert_eq!(keys(&events[0]["fate"][0]), ["adapter", "outcome", "attempts"]);

    let life = hook.json(&["events", "show", &id]);
    let expected = [
        "id",
        "source",
        "event_type",
        "received_at",
        "position",
        "indexed",
        "meta",
        "payload_bytes",
        "routes",
        "when_failed",
        "attempts",
        "dead_letters",
    ];
    assert_eq!(keys(&life), expected);
    assert_eq!(life["meta"]["verified_by"], "hmac-sha256:GITHUB_SECRET");
    assert_eq!(
        (life["payload_bytes"].as_u64(), life["routes"][0]["route"].as_str()),
        (Some(BODY.len() as u64), Some("out"))
    );

    let status = hook.json(&["status"]);
    assert_eq!((status["running"].as_bool(), status["role"].as_str()), (Some(true), Some("run")));
    assert_eq!(status["pid"], hook.pid());
    assert_eq!((status["app"].as_str(), status["profile"].as_str()), (Some("black-box"), Some("default")));
    assert_eq!(
        (status["destinations"][0]["adapter"].as_str(), status["destinations"][0]["lag"].as_u64()),
        (Some("out"), Some(0))
    );

    hook.stop().await;
    let status = hook.json(&["status"]);
    assert_eq!(status["running"], false, "without a process the directory itself is read");
    assert_eq!(delivered(&hook).await, events, "and says the same");
    let shown = hook.run(&["events", "show", &id, "--payload"]);
    assert_eq!(shown.stdout.as_bytes(), BODY);
}

#[tokio::test]
async fn what_was_just_accepted_can_be_shown() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    let sender = Sender::new();
    for number in 0..20 {
        let id = sender.accepted(hook.address, "push", &number.to_string(), BODY).await;
        assert_eq!(hook.json(&["events", "show", &id])["id"], id.as_str());
    }
    let nobody = "01980000-0000-7000-8000-000000000000";
    let shown = hook.run(&["events", "show", nobody]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.stderr.contains(&format!("no event {nobody} is stored here")), "{}", shown.stderr);
}

#[tokio::test]
async fn send_signs_as_the_provider_would() {
    let receiver = Receiver::start().await;
    let address = receiver.address;
    let hook = Hook::running(move |bind| contract(bind, &[("out", address, "body = \"payload\"")])).await;
    std::fs::write(hook.folder().join("payload.json"), BODY).unwrap();
    let sent =
        hook.json(&["send", "--source", "github", "--event", "pull_request", "--file", "payload.json"]);
    assert_eq!(sent["status"], 202, "{sent:#}");
    let delivery = receiver.wait_for(1).await.remove(0);
    assert_eq!((delivery.body.as_ref(), delivery.id()), (BODY, sent["body"]["id"].as_str().unwrap()));

    let unknown = hook.run(&["send", "--source", "nobody", "--file", "payload.json"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("`nobody`") && unknown.stderr.contains("`github`"), "{}", unknown.stderr);
}

#[tokio::test]
async fn a_file_is_replayed_as_it_is_or_signed_by_a_source() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    std::fs::write(hook.folder().join("payload.json"), BODY).unwrap();
    let url = format!("http://{}/webhook/github", hook.address);
    let replay = ["replay", "webhook", "--url", &url, "--file", "payload.json"];
    let header = ["--header", "x-github-event: push"];
    let unsigned = hook.run(&[&replay[..], &header].concat());
    assert_eq!(unsigned.code, Some(1), "{unsigned:?}");
    assert!(unsigned.stdout.contains("401"), "{unsigned:?}");
    let signed = hook.json(&[&replay[..], &header, &["--source", "github"]].concat());
    assert_eq!(signed["status"], 202, "{signed:#}");
}

#[tokio::test]
async fn a_refusal_makes_send_fail() {
    let hook = Hook::running(|bind| contract(bind, &[])).await;
    std::fs::write(hook.folder().join("payload.json"), "no json").unwrap();
    let sent = hook.run(&["send", "--source", "github", "--event", "push", "--file", "payload.json"]);
    assert_eq!(sent.code, Some(1), "{sent:?}");
}

#[tokio::test]
async fn the_log_is_verified_and_repaired() {
    let mut hook = Hook::running(|bind| contract(bind, &[])).await;
    let sender = Sender::new();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(sender.accepted(hook.address, "push", &number.to_string(), BODY).await);
    }
    hook.stop().await;
    assert_eq!(hook.run(&["log", "verify"]).code, Some(0));

    let segment = segment_of(&hook, "webhooks.core");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(BODY.len()).position(|window| window == BODY).expect("the payload as it was sent");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();

    let verify = hook.run(&["log", "verify"]);
    assert_eq!(verify.code, Some(1), "{verify:?}");
    let said = format!("{}{}", verify.stdout, verify.stderr);
    assert!(said.contains(segment.file_name().unwrap().to_str().unwrap()), "{said}");
    assert!(said.contains("hook log repair"), "{said}");
    let unsure = hook.run(&["log", "repair"]);
    assert_eq!(unsure.code, Some(2), "{unsure:?}");
    assert_eq!(hook.run(&["log", "repair", "--yes"]).code, Some(0));
    assert_eq!(hook.run(&["log", "verify"]).code, Some(0));
    hook.start().await;
    sender.accepted(hook.address, "push", "after", BODY).await;
}

/// The file that holds a topic's first records.
fn segment_of(hook: &Hook, topic: &str) -> PathBuf {
    let folder = hook.data().join("topics").join(topic);
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|kind| kind == "seg")).min().expect("a segment")
}
