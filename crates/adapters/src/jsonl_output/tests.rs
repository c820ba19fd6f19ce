//! Real files, and a real full disk.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use futures_util::future::join_all;

use super::*;
use crate::testing::{context, event};

fn config(path: &Path, keys: &str) -> Config {
    toml::from_str(&format!("path = '{}'\n{keys}", path.display())).unwrap()
}

async fn built(path: &Path, keys: &str) -> Arc<dyn Egress> {
    config(path, keys).build(&context(&[])).await.unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn line(payload: &[u8]) -> String {
    String::from_utf8(one_line(event(payload).encode()).to_vec()).unwrap()
}

#[tokio::test]
async fn concurrent_deliveries_are_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    for fsync in ["batch", "never"] {
        let egress = built(&path, &format!("fsync = '{fsync}'")).await;
        let events: Vec<Event> = (0..200).map(|n| event(format!("{{\n\"n\":{n}\n}}").as_bytes())).collect();
        for result in join_all(events.iter().map(|event| egress.deliver(event))).await {
            result.unwrap();
        }
        let mut found = lines(&path);
        let mut expect: Vec<String> =
            (0..200).map(|n| line(format!("{{\n\"n\":{n}\n}}").as_bytes())).collect();
        found.sort();
        expect.sort();
        assert_eq!(found, expect, "{fsync}");
        fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn the_file_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    built(&path, "").await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_torn_line_is_closed_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    fs::write(&path, "{\"whole\":1}\n{\"torn").unwrap();
    let egress = built(&path, "").await;
    egress.deliver(&event(b"{}")).await.unwrap();
    assert_eq!(lines(&path), ["{\"whole\":1}", "{\"torn", &line(b"{}")]);
}

#[tokio::test]
async fn rotation_keeps_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let one = line(b"0").len() + 1;
    let egress = built(&path, &format!("rotate_bytes = {}\nrotate_keep = 2", 2 * one)).await;
    for n in 0..9 {
        egress.deliver(&event(n.to_string().as_bytes())).await.unwrap();
    }
    let payloads = |name: &str| -> String {
        lines(&dir.path().join(name)).iter().map(|line| line.chars().rev().nth(1).unwrap()).collect()
    };
    assert_eq!(payloads("events.jsonl"), "8");
    assert_eq!(payloads("events.jsonl.1"), "67");
    assert_eq!(payloads("events.jsonl.2"), "45");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    let egress = built(&path, "").await;
    egress.deliver(&event(b"1")).await.unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    egress.deliver(&event(b"2")).await.unwrap();
    assert_eq!(lines(&path), [line(b"2")]);
    assert_eq!(lines(&dir.path().join("moved")), [line(b"1")]);
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let egress = built(&path, "fsync = 'never'").await;
    let error = egress.deliver(&event(b"1")).await.unwrap_err();
    assert!(
        matches!(&error, DeliverError::Unavailable(failure) if failure.reason.contains("No space")),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    egress.deliver(&event(b"2")).await.unwrap();
    assert_eq!(lines(&path), [line(b"2")]);
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_said_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let error = config(&dir.path().join("none/events.jsonl"), "").build(&context(&[])).await.err().unwrap();
    assert!(error.to_string().contains("none/events.jsonl"), "{error}");
}

#[test]
fn what_the_contract_can_get_wrong() {
    let check = |keys: &str, expect: &[&str]| {
        let problems = config(Path::new("a.jsonl"), keys).check();
        let found: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(found, expect, "{keys}");
    };
    check("", &[]);
    check("rotate_bytes = 0", &["rotate_bytes"]);
    check("rotate_keep = 3", &["rotate_keep"]);
    check("rotate_bytes = 10\nrotate_keep = 0", &["rotate_keep"]);
    assert_eq!(config(Path::new("/"), "").check().len(), 1);
    assert!(toml::from_str::<Config>("path = 'a'\nfsync = 'always'").is_err());
}
