//! The log in a Kafka cluster, and the lock on the directory that the process keeps.

use std::sync::Arc;

use anyhow::Context;
use hook_core::{plan::Plan, secret::Environment};
use hook_kafka::{KafkaLog, OpenError, Settings};
use hook_log::{
    RealDisk, Topic,
    embedded::{self, Held},
};

use super::{label, now, refused};
use crate::{fault, roles::Roles};

/// What to do when another process has the directory.
const ADVICE: &str =
    "the same role runs already; a second process of it needs a directory of its own (`--data DIR`)";

/// A log in a cluster.
#[derive(Clone)]
pub(crate) struct Log {
    log: Arc<KafkaLog>,
    /// The ledger and the socket are this process's alone.
    _lock: Arc<Held>,
}

impl Log {
    pub(crate) async fn open(plan: &Plan, environment: &Environment, roles: Roles) -> anyhow::Result<Self> {
        let directory = &plan.log.path;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let lock = embedded::lock_directory(&RealDisk, directory, &label(roles), &now());
        let lock = lock.map_err(|error| refused(error, ADVICE))?;
        let log = KafkaLog::open(settings(plan, environment)?).await.map_err(|error| match error {
            OpenError::Unreachable { .. } => fault::unreachable(error.to_string()),
            OpenError::Client(_) => fault::usage(error.to_string()),
        })?;
        Ok(Self { log: Arc::new(log), _lock: Arc::new(lock) })
    }

    pub(crate) fn log(&self) -> Arc<dyn hook_log::Log> {
        self.log.clone()
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.log.trouble()
    }

    pub(crate) fn close(&self) {
        self.log.close();
    }
}

/// The library's version.
pub(crate) fn librdkafka() -> Option<String> {
    Some(hook_kafka::librdkafka_version())
}

/// The topic of dead letters, which the environment may name.
pub(crate) fn dead_letters(plan: &Plan, environment: &Environment) -> anyhow::Result<Topic> {
    Ok(settings(plan, environment)?.dead_letters)
}

fn settings(plan: &Plan, environment: &Environment) -> anyhow::Result<Settings> {
    Settings::resolve(&plan.log, environment)
        .map_err(|error| fault::usage(format!("the log in Kafka cannot be set up: {error}")))
}
