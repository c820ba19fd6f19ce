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

/// The built-in contract with an ingress that reads a topic, and more.
fn with_kafka(keys: &str, more: &str) -> String {
    let ingress = format!(
        "[[serve.ingress_adapters]]\nid = \"topic\"\ndriver = \"kafka_ingress\"\ntopics = [\"orders\"]\ngroup_id = \"g\"\n{keys}\n\n[[serve.routes]]"
    );
    let text = DEFAULT.replacen("[[serve.routes]]", &ingress, 1);
    let listed = "serve_adapters = [\"http-ingress\", \"topic\"]";
    format!("{}\n{more}", text.replace("serve_adapters = [\"http-ingress\"]", listed))
}

#[test]
fn a_source_that_an_ingress_vouches_for_needs_no_section() {
    let sources = |text: &str| {
        let loaded = load("contract.toml", text, &Options::default(), &DRIVERS);
        let loaded = loaded.unwrap_or_else(|report| panic!("{}", report.render(false)));
        let plans = loaded.plan.sources.into_iter();
        plans.map(|(name, plan)| format!("{name}: {}", plan.spec.algorithm.name())).collect::<Vec<_>>()
    };
    let seed = ["github: hmac-sha256", "linear: hmac-sha256"];
    assert_eq!(sources(DEFAULT), seed);
    assert_eq!(sources(&with_kafka("", "")), [seed[0], "kafka: transport", seed[1]]);
    assert_eq!(sources(&with_kafka("source = \"orders\"", "")), [seed[0], seed[1], "orders: transport"]);
    // Where nothing comes in over HTTP, nobody needs the secrets of what would.
    let alone = with_kafka("", "").replace("[\"http-ingress\", \"topic\"]", "[\"topic\"]");
    assert_eq!(sources(&alone), ["kafka: transport"]);
    // A record that names its own source gets only those that the contract describes.
    assert_eq!(sources(&with_kafka("source = \"{ce_source}\"", "")), seed);
    // What the contract describes is as it says.
    let signed = "[sources.kafka]\npreset = \"standard-webhooks\"\nsecret_env = \"S\"";
    assert_eq!(sources(&with_kafka("", signed)), ["kafka: standard-webhooks"]);
}

#[test]
fn a_transport_is_no_proof_where_nothing_vouches() {
    let section = "[sources.orders]\npreset = \"kafka\"";
    let found = findings(&format!("{DEFAULT}\n{section}")).join("\n");
    assert!(found.contains("mute_source") && found.contains("`orders`"), "{found}");
    assert_eq!(findings(&with_kafka("source = \"orders\"", section)), [""; 0]);
}
