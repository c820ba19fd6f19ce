//! `[relay]`: what a bridge becomes, and which bridges are refused.

use std::time::Duration;

use super::*;
use crate::plan::{BridgePlan, End, RelayMode, StartFrom};

const HEAD: &str = r#"
[app]
id = "edge"
name = "Edge"
version = "1.0.0"

[relay.clusters.hq]
brokers = ["hq-1:9093"]

[relay.clusters.same]
brokers = ["hq-1:9093"]

[profiles.default]
label = "Edge"
relay_bridges = ["up"]
"#;

fn loaded(text: &str) -> Result<Loaded, Report> {
    load("c", text, &Options { force: true, ..Options::default() }, &DRIVERS)
}

/// The bridge `up` with these keys.
fn up(keys: &str) -> String {
    format!("{HEAD}\n[[relay.bridges]]\nid = \"up\"\n{keys}\n")
}

fn bridge(text: &str) -> BridgePlan {
    let plan = loaded(text).unwrap_or_else(|report| panic!("{}", report.render(false))).plan;
    plan.relay.bridges.first().expect("the bridge").clone()
}

#[track_caller]
fn refused(text: &str, code: &str, part: &str) {
    let report = loaded(text).map_or_else(|report| report, |loaded| loaded.warnings);
    let found = report.findings().iter().any(|finding| finding.code == code && finding.title.contains(part));
    assert!(found, "no `{code}` with `{part}`:\n{}", report.render(false));
}

#[test]
fn a_bridge_needs_little_and_a_profile_of_bridges_is_enough() {
    let bridge = bridge(&up("to = \"hq\"\ntopics = [\"webhooks.*\"]\noutput_topic = \"edge.{source}\""));
    assert_eq!((bridge.from, bridge.to), (End::Log, End::Cluster("hq".into())));
    assert_eq!((bridge.mode, bridge.start_from), (RelayMode::Envelope, StartFrom::Beginning));
    assert_eq!(bridge.group, "hook-relay.edge.up");
    assert_eq!((bridge.max_retries, bridge.backoff_base), (5, Duration::from_millis(200)));
}

#[test]
fn what_is_written_is_what_runs() {
    let bridge = bridge(&up(
        "from = \"hq\"\ntopics = [\"a\", \"b.*\"]\noutput_topic = \"c\"\nmode = \"raw\"\ngroup_id = \"hook-relay\"\n\
         start_from = \"now\"\nmax_retries = 1\nbackoff_base_ms = 7000",
    ));
    assert_eq!(bridge.from, bridge.to);
    assert_eq!((bridge.mode, bridge.start_from, bridge.max_retries), (RelayMode::Raw, StartFrom::Now, 1));
    assert_eq!((bridge.group.as_str(), bridge.backoff_max), ("hook-relay", Duration::from_secs(7)));
}

#[test]
fn what_is_wrong_is_refused_where_it_stands() {
    let up = |keys: &str| up(&format!("output_topic = \"out\"\n{keys}"));
    refused(&up("topics = []"), "bad_value", "`topics` is empty");
    refused(&up("topics = [\"a\"]\nto = \"hp\""), "unknown_reference", "no cluster is called `hp`");
    refused(&up("topics = [\"a\"]\nbackoff_max_ms = 100"), "bad_value", "`backoff_max_ms` is smaller");
    refused(&up("topics = [\"a\"]\nstart_from = \"soon\""), "bad_value", "`soon`");
    refused(&up("topics = [\"a\"]\ngroup_id = \"\""), "bad_value", "a group's name");
    refused(&up("topics = [\"a\"]\ntopcis = 1"), "unknown_key", "topcis");
    refused(&up("topics = [\"a\"]\n[relay.clusters.log]"), "bad_name", "`log`");
    refused(
        &up("topics = [\"a\"]\n[relay.clusters.z.sasl]\npassword = \"p\""),
        "wrong_value",
        "named, never written",
    );
    let insecure = "topics = [\"a\"]\n[relay.clusters.z]\nsecurity_protocol = \"plaintext\"";
    refused(&up(insecure), "insecure", "sends events in the clear");
    refused(&HEAD.replace("\"up\"", "\"down\""), "unknown_reference", "no bridge is called `down`");
    let source = "topics = [\"a\"]\nmode = \"raw\"\noutput_topic = \"x.{source}\"";
    refused(&self::up(source), "bad_name", "`{source}`");
    refused(&self::up("topics = [\"a\"]\noutput_topic = \"webhooks.dlq\""), "reserved_topic", "webhooks.dlq");
}

#[test]
fn loops_are_found_also_through_others() {
    let own =
        |topics: &str, output: &str| up(&format!("topics = [\"{topics}\"]\noutput_topic = \"{output}\""));
    refused(&own("webhooks.*", "webhooks.core"), "loop", "`up` reads what it writes");
    refused(&own("in.*", "{topic}"), "loop", "`up` reads what it writes");
    refused(&own("in.*", "{source}.in"), "loop", "`up` reads what it writes");
    assert_eq!(bridge(&own("in.*", "out.{topic}")).output_topic.as_str(), "out.{topic}");

    let two = |from: &str, to: &str, output: &str| {
        let first = up("topics = [\"a.*\"]\nto = \"hq\"\noutput_topic = \"b.{topic}\"");
        let second = format!(
            "[[relay.bridges]]\nid = \"down\"\ntopics = [\"b.*\"]\nfrom = \"{from}\"\nto = \"{to}\"\noutput_topic = \"{output}\"\n"
        );
        format!("{first}{second}").replace("[\"up\"]", "[\"up\", \"down\"]")
    };
    refused(&two("hq", "log", "a.back"), "loop", "comes back to it through `down`");
    refused(&two("same", "log", "a.back"), "loop", "comes back to it through `down`");
    assert_eq!(
        loaded(&two("hq", "log", "c.back")).map(|loaded| loaded.plan.relay.bridges.len()).ok(),
        Some(2)
    );
    assert!(loaded(&two("hq", "hq", "a.back")).is_ok(), "another cluster's topic is no loop");
}

#[test]
fn bridges_do_not_share_a_group() {
    let two = up(
        "topics = [\"a\"]\noutput_topic = \"b\"\ngroup_id = \"g\"\n[[relay.bridges]]\nid = \"down\"\ntopics = [\"c\"]\noutput_topic = \"d\"\ngroup_id = \"g\"",
    );
    refused(&two.replace("[\"up\"]", "[\"up\", \"down\"]"), "bad_value", "the same group `g`");
    assert!(loaded(&two).is_ok(), "one of them does not run");
}

#[test]
fn a_log_in_kafka_has_only_its_own_topics() {
    let log = "[log]\nbackend = \"kafka\"\n[log.kafka]\nbrokers = [\"here:9093\"]\n";
    let text = |topics: &str, output: &str| {
        format!("{}{log}", up(&format!("topics = [\"{topics}\"]\noutput_topic = \"{output}\"")))
    };
    refused(&text("github", "webhooks.core"), "foreign_topic", "`github` lies outside");
    refused(&text("webhooks.github", "core"), "foreign_topic", "`core` lies outside");
    assert!(loaded(&text("webhooks.github", "webhooks.core")).is_ok());
    assert!(loaded(&text("*.github", "webhooks.core")).is_ok());
}
