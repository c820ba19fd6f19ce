//! What `hook check` says about a contract, word for word.

use std::path::Path;

use tempfile::TempDir;

use crate::support::Done;

/// A contract that is valid as it stands.
const VALID: &str = include_str!("../../../../contracts/default-openclaw.toml");

/// Checks `VALID` with one thing replaced; returns the code and standard error.
fn check(from: &str, to: &str) -> String {
    assert!(VALID.contains(from), "`{from}` is not in the contract");
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("contract.toml"), VALID.replacen(from, to, 1)).unwrap();
    let done = Done::of(folder.path(), &["check"]);
    assert_eq!(done.stdout, "", "findings belong to standard error");
    format!("exit code {}\n{}", done.code.unwrap(), done.stderr)
}

#[test]
fn a_valid_contract_is_said_to_be_valid() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("contract.toml"), VALID).unwrap();
    let done = Done::of(folder.path(), &["check"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(done.stdout);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "checking makes no file");
}

#[test]
fn a_misspelt_key_is_underlined_with_the_nearest_name() {
    insta::assert_snapshot!(check("timeout_seconds", "timeout_second"));
}

#[test]
fn a_misspelt_driver_is_underlined_with_the_nearest_name() {
    insta::assert_snapshot!(check("openclaw_http_output", "openclaw_http_ouput"));
}

#[test]
fn a_route_to_nobody() {
    insta::assert_snapshot!(check("adapter_id = \"openclaw-output\"", "adapter_id = \"openclaw\""));
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(check("max_retries = 5", "max_retries = \"five\""));
}

#[test]
fn what_is_no_toml() {
    insta::assert_snapshot!(check("[smash]", "[smash"));
}

#[test]
fn every_error_in_one_run() {
    let folder = TempDir::new().unwrap();
    let broken = VALID.replace("timeout_seconds", "timeout_second").replace("bind =", "bnid =");
    std::fs::write(folder.path().join("contract.toml"), broken).unwrap();
    let done = Done::of(folder.path(), &["check", "--json"]);
    assert_eq!(done.code, Some(2));
    let result: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(result["valid"], false);
    let lines: Vec<u64> =
        result["findings"].as_array().unwrap().iter().map(|one| one["line"].as_u64().unwrap()).collect();
    assert!(lines.len() >= 2, "{result:#}");
}

#[test]
fn contracts_are_looked_for_in_order() {
    let folder = TempDir::new().unwrap();
    let named = |name: &str| VALID.replace("Default OpenClaw\"\nversion", &format!("{name}\"\nversion"));
    let write = |path: &Path, name: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, named(name)).unwrap();
    };
    let name = |args: &[&str]| {
        let done = Done::of(folder.path(), &[&["config", "show", "--json"], args].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        let plan: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        plan["app"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name(&[]), "Default OpenClaw", "the built-in one");
    write(&folder.path().join("contract.toml"), "Here");
    assert_eq!(name(&[]), "Here");
    write(&folder.path().join("apps/reviews/contract.toml"), "Of the app");
    assert_eq!(name(&["--app", "reviews"]), "Of the app");
    write(&folder.path().join("other.toml"), "Named");
    assert_eq!(name(&["--contract", "other.toml"]), "Named");
    let missing = Done::of(folder.path(), &["--contract", "nowhere.toml", "check"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("nowhere.toml"), "{}", missing.stderr);
}
