//! Every environment variable that the program itself reads, and what for. Those that a
//! contract names come from its plan.

use clap::CommandFactory;

use crate::cli::Cli;

/// A variable that is read whatever the contract says.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) purpose: String,
    pub(super) secret: bool,
}

const KAFKA: &[(&str, &str)] = &[
    ("KAFKA_ALLOW_PLAINTEXT", "the second opt-in to connections in the clear"),
    ("KAFKA_AUTO_CREATE_TOPICS", "whether missing topics are created"),
    ("KAFKA_BROKERS", "some of the cluster's brokers, `host:port`"),
    ("KAFKA_DLQ_TOPIC", "the topic of dead letters"),
    ("KAFKA_SASL_MECHANISM", "how the password is shown"),
    ("KAFKA_SECURITY_PROTOCOL", "how connections are protected"),
    ("KAFKA_TLS_CA", "who signs the brokers' certificates"),
    ("KAFKA_TLS_CERT", "our certificate"),
    ("KAFKA_TLS_KEY", "its key's file"),
    ("KAFKA_TOPIC_PARTITIONS", "partitions of topics that are created"),
    ("KAFKA_TOPIC_REPLICATION_FACTOR", "replicas of topics that are created"),
];

const KAFKA_SECRETS: &[(&str, &str)] = &[
    ("KAFKA_SASL_PASSWORD", "who we are to the brokers"),
    ("KAFKA_SASL_USERNAME", "who we are to the brokers"),
];

const SYSTEM: &[(&str, &str)] = &[
    ("CLICOLOR_FORCE", "colours, also where there is no terminal"),
    ("CREDENTIALS_DIRECTORY", "the service manager's credentials"),
    ("LISTEN_FDNAMES", "what the sockets that were handed over are called"),
    ("LISTEN_FDS", "how many sockets were handed over"),
    ("LISTEN_PID", "the process that they are for"),
    ("NOTIFY_SOCKET", "where the service manager is told of readiness"),
    ("NO_COLOR", "no colours"),
    ("RUST_LOG", "what is logged; `info` unless set"),
    ("SSL_CERT_DIR", "who signs servers' certificates, instead of the system's list"),
    ("SSL_CERT_FILE", "who signs servers' certificates, instead of the system's list"),
    ("WATCHDOG_PID", "the process that is watched"),
    ("WATCHDOG_USEC", "how often the service manager wants to hear of us"),
];

/// Names that begin like this are meant for this program, or for the one before it.
pub(super) const OURS: &[&str] = &["CONSUMER_", "HMAC_SECRET_", "HOOK_", "KAFKA_", "OPENCLAW_", "RELAY_"];

/// All of them, by name.
pub(super) fn variables() -> Vec<Variable> {
    let row = |secret: bool, of: &'static str| {
        move |&(name, purpose): &(&str, &str)| Variable {
            name: name.to_owned(),
            purpose: format!("{of}{purpose}"),
            secret,
        }
    };
    let mut all = flags();
    all.extend(KAFKA.iter().map(row(false, "Kafka: ")));
    all.extend(KAFKA_SECRETS.iter().map(row(true, "Kafka: ")));
    all.extend(SYSTEM.iter().map(row(false, "")));
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// Those that stand for a flag of the command line.
fn flags() -> Vec<Variable> {
    let command = Cli::command();
    let args = command.get_arguments().filter_map(|arg| Some((arg.get_env()?.to_str()?, arg.get_long()?)));
    args.map(|(name, flag)| Variable { name: name.to_owned(), purpose: format!("`--{flag}`"), secret: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every `"KAFKA_…"` and the like in the sources of crates that read the environment.
    fn written(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                written(&entry, found);
            } else if entry.extension().is_some_and(|kind| kind == "rs") && !entry.ends_with("tests.rs") {
                let text = fs::read_to_string(&entry).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                let literals = code.split('"').skip(1).step_by(2);
                found.extend(literals.filter(|text| text.starts_with("KAFKA_")).map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_variable_of_the_code_is_in_the_table_and_the_other_way_round() {
        let mut found = BTreeSet::new();
        written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka/src"), &mut found);
        assert!(found.len() > 10, "{found:?}");
        let listed: BTreeSet<String> =
            KAFKA.iter().chain(KAFKA_SECRETS).map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found.difference(&listed).collect::<Vec<_>>(), [""; 0], "the table lacks these");
        assert_eq!(listed.difference(&found).collect::<Vec<_>>(), [""; 0], "nothing reads these");
    }

    #[test]
    fn flags_with_a_variable_are_found() {
        let names: Vec<String> = flags().into_iter().map(|variable| variable.name).collect();
        for name in ["HOOK_CONTRACT", "HOOK_DATA", "HOOK_PROFILE"] {
            assert!(names.contains(&name.to_owned()), "{names:?}");
        }
    }
}
