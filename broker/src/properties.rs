//! A node's `server.properties`, and what is said when its storage is formatted.
//!
//! Three listeners: `CLIENT` as the test wants it secured, `INTERNAL` among the
//! nodes and for Kafka's own tools, `CONTROLLER` for the quorum. Later lines win,
//! so that a test's own properties come last.

use std::path::Path;

use crate::options::{Mechanism, Options, Sasl, Tls};

/// The ports of one node.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) client: u16,
    pub(crate) internal: u16,
    pub(crate) controller: u16,
}

/// What a node's file says. `all` are the ports of every node, `node` counts from 1.
pub(crate) fn server(options: &Options, all: &[Ports], node: usize, folder: &Path) -> String {
    let mut lines = identity(all, node, folder);
    lines.extend(sizes(all.len()));
    lines.push(format!(
        "listener.security.protocol.map=CLIENT:{},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        options.security.protocol()
    ));
    lines.extend(options.security.tls().into_iter().flat_map(|tls| encryption(tls, folder)));
    lines.extend(options.security.sasl().map(login).into_iter().flatten());
    lines.extend(options.properties.iter().map(|(key, value)| format!("{key}={value}")));
    lines.join("\n") + "\n"
}

/// The files that the lines about TLS name: the store's name and its PEM text.
pub(crate) fn stores(tls: &Tls) -> [(&'static str, String); 2] {
    [(KEY_STORE, format!("{}\n{}", tls.key, tls.certificate)), (TRUST_STORE, tls.ca.clone())]
}

/// The SCRAM user as the storage tool wants it.
pub(crate) fn scram_user(options: &Options) -> Option<String> {
    let Sasl { mechanism, user, password, .. } = options.security.sasl()?;
    match mechanism {
        Mechanism::Plain => None,
        Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
            Some(format!("{}=[name={user},password={password}]", mechanism.name()))
        }
    }
}

const KEY_STORE: &str = "key.pem";
const TRUST_STORE: &str = "trust.pem";

fn identity(all: &[Ports], node: usize, folder: &Path) -> Vec<String> {
    let voters = all.iter().zip(1..).map(|(ports, id)| format!("{id}@127.0.0.1:{}", ports.controller));
    let voters = voters.collect::<Vec<_>>().join(",");
    let Ports { client, internal, controller } = all[node - 1];
    let advertised = format!("CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal}");
    vec![
        "process.roles=broker,controller".into(),
        format!("node.id={node}"),
        format!("controller.quorum.voters={voters}"),
        "controller.listener.names=CONTROLLER".into(),
        "inter.broker.listener.name=INTERNAL".into(),
        format!("listeners={advertised},CONTROLLER://127.0.0.1:{controller}"),
        format!("advertised.listeners={advertised}"),
        format!("log.dirs={}", folder.join("data").display()),
    ]
}

/// Small, quick, and nothing made by itself.
fn sizes(nodes: usize) -> Vec<String> {
    let in_sync = nodes.div_ceil(2);
    vec![
        "auto.create.topics.enable=false".into(),
        "group.initial.rebalance.delay.ms=0".into(),
        "offsets.topic.num.partitions=4".into(),
        format!("offsets.topic.replication.factor={nodes}"),
        "transaction.state.log.num.partitions=4".into(),
        format!("transaction.state.log.replication.factor={nodes}"),
        format!("transaction.state.log.min.isr={in_sync}"),
        format!("default.replication.factor={nodes}"),
        format!("min.insync.replicas={in_sync}"),
        // A dead node is noticed sooner than after the usual nine seconds.
        "broker.session.timeout.ms=4000".into(),
        "broker.heartbeat.interval.ms=500".into(),
        // 128 MB by default, which a test's compaction does not need.
        "log.cleaner.dedupe.buffer.size=2097152".into(),
        "num.network.threads=2".into(),
        "num.io.threads=4".into(),
    ]
}

fn encryption(tls: &Tls, folder: &Path) -> Vec<String> {
    let of = |key: &str, value: String| format!("listener.name.client.ssl.{key}={value}");
    vec![
        of("keystore.type", "PEM".into()),
        of("keystore.location", folder.join(KEY_STORE).display().to_string()),
        of("truststore.type", "PEM".into()),
        of("truststore.location", folder.join(TRUST_STORE).display().to_string()),
        of("client.auth", tls.client_auth.name().into()),
    ]
}

fn login(sasl: &Sasl) -> [String; 2] {
    let mechanism = sasl.mechanism.name();
    let module = match sasl.mechanism {
        Mechanism::Plain => {
            format!("plain.PlainLoginModule required user_{}=\"{}\"", sasl.user, sasl.password)
        }
        Mechanism::ScramSha256 | Mechanism::ScramSha512 => "scram.ScramLoginModule required".into(),
    };
    let key = mechanism.to_lowercase();
    [
        format!("listener.name.client.sasl.enabled.mechanisms={mechanism}"),
        format!("listener.name.client.{key}.sasl.jaas.config=org.apache.kafka.common.security.{module};"),
    ]
}
