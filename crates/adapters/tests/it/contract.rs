//! Whole contracts against the real tables.

use hook_core::contract::{DEFAULT, Options, load};

use crate::support::DRIVERS;

fn findings(text: &str) -> Vec<String> {
    match load("contract.toml", text, &Options::default(), &DRIVERS) {
        Ok(_) => Vec::new(),
        Err(report) => report.render(false).lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_built_in_contract_is_whole() {
    assert_eq!(findings(DEFAULT), [""; 0]);
}

#[test]
fn what_a_driver_finds_is_reported_at_its_key() {
    let check = |from: &str, to: &str, expect: &[&str]| {
        assert!(DEFAULT.contains(from), "{from}");
        let found = findings(&DEFAULT.replace(from, to)).join("\n");
        for part in expect {
            assert!(found.contains(part), "{to}: {found}");
        }
    };
    check("http://127.0.0.1:18789", "http://10.0.0.1", &["`10.0.0.1`", "allow_networks"]);
    check("timeout_seconds = 20", "timeout_seconds = 0", &["at least 1"]);
    check("timeout_seconds = 20", "timeut_seconds = 20", &["timeut_seconds", "timeout_seconds"]);
    check("timeout_seconds = 20", "message = '{{ paylod.x }}'", &["paylod", "payload"]);
    check("/webhook/{source}", "/webhook", &["names no source"]);
    check("127.0.0.1:8080", "nonsense", &["bind"]);
}

#[test]
fn every_contract_of_the_repository_is_clean() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let loaded = load(&name, &text, &Options::default(), &DRIVERS);
        let warnings = loaded.map(|loaded| loaded.warnings).unwrap_or_else(|report| report);
        assert!(warnings.is_empty(), "{}", warnings.render(false));
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["default-openclaw.toml", "reviews.toml"]);
}

#[test]
fn what_meets_itself_is_found() {
    let second = "[[serve.ingress_adapters]]\nid = \"second\"\ndriver = \"http_webhook_ingress\"\nbind = \"0.0.0.0:8080\"\n\n[[serve.routes]]";
    let both = DEFAULT
        .replace("[[serve.routes]]", second)
        .replace("serve_adapters = [\"http-ingress\"]", "serve_adapters = [\"http-ingress\", \"second\"]");
    let found = findings(&both).join("\n");
    assert!(found.contains("error[same_bind]") && found.contains("`second` listens where"), "{found}");
    let apart = both.replace("0.0.0.0:8080", "127.0.0.1:8081");
    assert_eq!(findings(&apart), [""; 0]);

    let admin = format!("{DEFAULT}\n[admin]\nbind = \"127.0.0.1:8080\"\n");
    assert!(findings(&admin).join("\n").contains("error[same_bind]"));

    for (url, looped) in [
        ("http://127.0.0.1:8080/webhook/github", true),
        ("http://localhost:8080/webhook/github", true),
        ("http://127.0.0.1:8080/elsewhere", false),
        ("http://127.0.0.1:8081/webhook/github", false),
    ] {
        let found = findings(&DEFAULT.replace("http://127.0.0.1:18789/hooks/agent", url)).join("\n");
        assert_eq!(found.contains("error[loop]"), looped, "{url}: {found}");
    }
}
