//! Whole contracts against the real tables.

use hook_adapters::{EGRESS, INGRESS};
use hook_core::{
    contract::{DEFAULT, Options, load},
    driver::Drivers,
    plugin::PLUGINS,
};

fn findings(text: &str) -> Vec<String> {
    let drivers = Drivers { ingress: INGRESS, egress: EGRESS, plugins: PLUGINS };
    match load("contract.toml", text, &Options::default(), &drivers) {
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
