//! What is refused, kept and replaced. That the certificates are of use is shown from
//! outside, by a TLS handshake and by a broker.

use std::{fs, os::unix::fs::PermissionsExt};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;

fn request(hosts: &[&str], clients: &[&str], replace: bool) -> Request {
    Request {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        clients: clients.iter().map(|name| name.parse().unwrap()).collect(),
        days: 365,
        replace,
    }
}

struct World {
    folder: Folder,
    now: Timestamp,
    _kept: TempDir,
}

impl World {
    fn new() -> Self {
        let kept = TempDir::new().unwrap();
        let folder = Folder::at(&kept.path().join("certs")).unwrap();
        Self { folder, now: "2026-11-21T08:00:00Z".parse().unwrap(), _kept: kept }
    }

    fn make(&self, hosts: &[&str], clients: &[&str], replace: bool) -> anyhow::Result<Outcome> {
        make(&self.folder, &request(hosts, clients, replace), self.now)
    }

    fn refused(&self, hosts: &[&str], clients: &[&str]) -> String {
        let before = self.files();
        let error = self.make(hosts, clients, false).err().expect("it is refused").to_string();
        assert_eq!(self.files(), before, "nothing was written");
        error
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn later(mut self, days: i64) -> Self {
        self.now += SignedDuration::from_hours(24 * days);
        self
    }
}

/// Which of authority, server and clients were made.
fn made(outcome: &Outcome) -> (bool, bool, Vec<(String, bool)>) {
    let clients = outcome.clients.iter().map(|(name, entry)| (name.to_string(), entry.made)).collect();
    (outcome.authority.made, outcome.server.made, clients)
}

fn client(name: &str) -> Vec<(String, bool)> {
    vec![(name.to_owned(), true)]
}

#[test]
fn nothing_there_makes_everything_and_hides_the_keys() {
    let world = World::new();
    let outcome = world.make(&[], &[], false).unwrap();
    assert_eq!(made(&outcome), (true, true, client("hook")));
    assert_eq!(outcome.server.hosts, ["localhost", "127.0.0.1", "::1"]);
    assert_eq!(outcome.server.until.to_string(), "2027-11-21T08:00:00Z");
    let names: Vec<String> = world.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["ca-key.pem", "ca.pem", "client-hook-key.pem", "client-hook.pem", "server-key.pem", "server.pem"]
    );
    for name in names {
        let path = world.folder.path().join(&name);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let (kind, expected) = match name.ends_with("-key.pem") {
            true => ("PRIVATE KEY", 0o600),
            false => ("CERTIFICATE", 0o644),
        };
        assert_eq!(mode, expected, "{name}");
        assert!(fs::read_to_string(path).unwrap().starts_with(&format!("-----BEGIN {kind}-----")), "{name}");
    }
}

#[test]
fn a_client_is_added_by_the_same_authority() {
    let world = World::new();
    world.make(&["kafka.internal"], &["serve"], false).unwrap();
    let outcome = world.make(&[], &["smash", "relay"], false).unwrap();
    assert_eq!(made(&outcome), (false, false, [client("smash"), client("relay")].concat()));
    assert_eq!(outcome.server.hosts, ["kafka.internal"]);
}

#[test]
fn what_is_there_is_not_overwritten() {
    let world = World::new();
    world.make(&[], &["serve"], false).unwrap();
    assert!(world.refused(&[], &["serve"]).contains("client-serve.pem"));
    assert!(world.refused(&[], &["new", "serve"]).contains("client-serve-key.pem"));
    assert!(world.refused(&["a.example"], &["new"]).contains("server.pem"));
    let error = world.refused(&["a.example"], &[]);
    assert!(error.contains("hint: `--force`"), "{error}");
}

#[test]
fn force_replaces_what_is_named_and_keeps_the_authority_and_the_hosts() {
    let world = World::new();
    world.make(&["a.example", "10.0.0.5"], &["hook", "other"], false).unwrap();
    let before = world.files();
    let outcome = world.make(&[], &[], true).unwrap();
    assert_eq!(made(&outcome), (false, true, client("hook")));
    assert_eq!(outcome.server.hosts, ["a.example", "10.0.0.5"]);
    let same: Vec<String> =
        world.files().into_iter().filter(|file| before.contains(file)).map(|(name, _)| name).collect();
    assert_eq!(same, ["ca-key.pem", "ca.pem", "client-other-key.pem", "client-other.pem"]);

    let outcome = world.make(&[], &["other"], true).unwrap();
    assert_eq!(made(&outcome), (false, false, client("other")));
}

#[test]
fn nothing_outlives_its_authority() {
    let world = World::new();
    let first = world.make(&[], &[], false).unwrap();
    let world = world.later(3650 - 30);
    let outcome = world.make(&[], &["late"], false).unwrap();
    assert_eq!(outcome.clients[0].1.until, first.authority.until);
    let world = world.later(31);
    let error = world.refused(&[], &["later"]);
    assert!(error.contains("ended at 2036-11-18") && error.contains("--force"), "{error}");
    let outcome = world.make(&[], &["later"], true).unwrap();
    assert_eq!((made(&outcome), outcome.authority_replaced), ((true, true, client("later")), true));
}

fn file(world: &World, name: &str) -> std::path::PathBuf {
    world.folder.path().join(name)
}

/// Puts the server's in the place of the authority's.
fn server(world: &World, kind: &str) {
    fs::copy(file(world, &format!("server{kind}.pem")), file(world, &format!("ca{kind}.pem"))).unwrap();
}

#[test]
fn an_authority_that_cannot_sign_is_said() {
    let check = |spoil: fn(&World), expected: &str| {
        let world = World::new();
        world.make(&[], &[], false).unwrap();
        spoil(&world);
        let error = world.refused(&[], &["new"]);
        assert!(error.contains(expected), "{error}");
    };
    check(|world| fs::remove_file(file(world, "ca-key.pem")).unwrap(), "ca-key.pem cannot be read");
    check(|world| fs::remove_file(file(world, "ca.pem")).unwrap(), "ca.pem cannot be read");
    check(|world| fs::write(file(world, "ca.pem"), "nonsense").unwrap(), "ca.pem holds no certificate");
    check(
        |world| fs::write(file(world, "ca-key.pem"), "nonsense").unwrap(),
        "ca-key.pem holds no private key",
    );
    check(|world| server(world, "-key"), "is not the key of");
    check(
        |world| {
            server(world, "");
            server(world, "-key");
        },
        "is not an authority's certificate",
    );
}

#[test]
fn names_are_judged_where_they_are_typed() {
    for good in
        ["localhost", "kafka-1.internal", "*.internal", "10.0.0.5", "::1", "fe80::1", "broker_1", "A.Example"]
    {
        good.parse::<Host>().unwrap();
    }
    let long = format!("{}.example", "a".repeat(64));
    for bad in [
        "",
        "https://a.example",
        "a.example:9093",
        "[::1]",
        "a..b",
        "-a",
        "a b",
        "10.0.0.256",
        "*",
        "a.*.b",
        "ä",
        &long,
    ] {
        bad.parse::<Host>().unwrap_err();
    }
    for good in ["hook", "serve-1", "A.b_c"] {
        good.parse::<ClientName>().unwrap();
    }
    for bad in ["", "../x", "a/b", ".hidden", "-x", "a b", "ä", &"a".repeat(65)] {
        bad.parse::<ClientName>().unwrap_err();
    }
}
