//! The log in a Kafka cluster, and the lock on the directory that the process keeps.

use std::sync::Arc;

use anyhow::Context;
use hook_core::{
    plan::{self, KafkaPlan, LogPlan, Plan},
    secret::Environment,
};
use hook_kafka::{ExactlyOnce, KafkaLog, OpenError, Settings};
use hook_log::{
    RealDisk, Topic,
    embedded::{self, Held},
    forward::Link,
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

/// A cluster that a bridge reads from or writes to. It need not be there yet.
#[derive(Clone)]
pub(crate) struct Cluster {
    log: Arc<KafkaLog>,
    dead_letters: Topic,
    /// Whether it is this process's own log, which others close.
    borrowed: bool,
}

impl Cluster {
    /// The cluster that `kafka` describes; `log` says what is kept of topics made there.
    pub(crate) fn open(kafka: &KafkaPlan, log: &LogPlan, environment: &Environment) -> anyhow::Result<Self> {
        let dead_letters = kafka.dead_letters.clone().unwrap_or_else(|| log.dead_letters.clone());
        let plan =
            LogPlan { backend: plan::Backend::Kafka(Box::new(kafka.clone())), dead_letters, ..log.clone() };
        let settings = Settings::resolve(&plan, environment)
            .map_err(|error| fault::usage(format!("the cluster cannot be set up: {error}")))?;
        let dead_letters = settings.dead_letters.clone();
        let log = KafkaLog::open_unreached(settings).map_err(|error| fault::usage(error.to_string()))?;
        Ok(Self { log: Arc::new(log), dead_letters, borrowed: false })
    }

    /// The process's own log as one.
    pub(crate) fn of(log: &Log, dead_letters: &Topic) -> Self {
        Self { log: log.log.clone(), dead_letters: dead_letters.clone(), borrowed: true }
    }

    pub(crate) fn log(&self) -> Arc<dyn hook_log::Log> {
        self.log.clone()
    }

    pub(crate) fn dead_letters(&self) -> &Topic {
        &self.dead_letters
    }

    /// From the cluster to itself, under a name that no other process has.
    pub(crate) fn exactly_once(&self, name: String) -> Arc<dyn Link> {
        Arc::new(ExactlyOnce::new(self.log.clone(), self.dead_letters.clone(), name))
    }

    pub(crate) fn close(&self) {
        if !self.borrowed {
            self.log.close();
        }
    }
}

/// The topic of dead letters, which the environment may name.
pub(crate) fn dead_letters(plan: &Plan, environment: &Environment) -> anyhow::Result<Topic> {
    Ok(settings(plan, environment)?.dead_letters)
}

fn settings(plan: &Plan, environment: &Environment) -> anyhow::Result<Settings> {
    Settings::resolve(&plan.log, environment)
        .map_err(|error| fault::usage(format!("the log in Kafka cannot be set up: {error}")))
}
