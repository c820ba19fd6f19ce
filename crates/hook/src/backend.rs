//! The log of this process, whichever it is, and what only one kind of it can tell.

#[cfg(not(feature = "kafka"))]
#[path = "backend/absent.rs"]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka;

pub(crate) use self::kafka::Cluster;
use std::{collections::HashMap, sync::Arc};

use anyhow::Context;
use hook_core::{
    plan::{self, Plan},
    secret::Environment,
};
use hook_event::Clock;
use hook_log::{EmbeddedLog, Log, Now, OpenError, RealDisk, Retention, Stats, Topic};

use crate::{fault, roles::Roles};

/// The log.
#[derive(Clone)]
pub(crate) enum Backend {
    /// In the data directory.
    Embedded(Arc<EmbeddedLog>),
    /// In a cluster.
    Kafka(kafka::Log),
}

/// The roles whose processes a command looks for where each has a directory of its own.
const RUNNING: [Roles; 3] = [Roles::ALL, Roles::SMASH, Roles::SERVE];

impl Backend {
    /// Opens the log, recovering what a crash left, or reaching the cluster.
    pub(crate) async fn open(plan: &Plan, environment: &Environment, roles: Roles) -> anyhow::Result<Self> {
        match &plan.log.backend {
            plan::Backend::Embedded => Ok(Self::Embedded(Arc::new(embedded(plan, roles)?))),
            plan::Backend::Kafka(_) => Ok(Self::Kafka(kafka::Log::open(plan, environment, roles).await?)),
        }
    }

    /// The log, as the pipeline sees it.
    pub(crate) fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => log.clone(),
            Self::Kafka(log) => log.log(),
        }
    }

    /// What the embedded log counts.
    pub(crate) fn stats(&self) -> Option<Stats> {
        match self {
            Self::Embedded(log) => Some(log.stats()),
            Self::Kafka(_) => None,
        }
    }

    /// Why the log cannot be reached now, if so. The embedded one is always there.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self {
            Self::Embedded(_) => None,
            Self::Kafka(log) => log.trouble().map(|reason| format!("Kafka cannot be reached: {reason}")),
        }
    }

    /// Whether other processes have logs of their own on the same records.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Kafka(_))
    }

    /// Lets go of the log.
    pub(crate) fn close(&self) {
        match self {
            Self::Embedded(log) => log.close(),
            Self::Kafka(log) => log.close(),
        }
    }
}

/// Puts into the plan what the environment says of a log in a cluster, and the process's
/// own directory: there the roles are processes side by side, each with its own ledger
/// and socket.
pub(crate) fn place(plan: &mut Plan, environment: &Environment, roles: Roles) -> anyhow::Result<()> {
    if matches!(plan.log.backend, plan::Backend::Kafka(_)) {
        plan.log.dead_letters = kafka::dead_letters(plan, environment)?;
        plan.log.path = plan.log.path.join(roles.name());
    }
    Ok(())
}

/// Where processes that run this plan have their sockets.
pub(crate) fn directories(plan: &Plan) -> Vec<std::path::PathBuf> {
    match plan.log.backend {
        plan::Backend::Embedded => vec![plan.log.path.clone()],
        plan::Backend::Kafka(_) => RUNNING.iter().map(|roles| plan.log.path.join(roles.name())).collect(),
    }
}

fn embedded(plan: &Plan, roles: Roles) -> anyhow::Result<EmbeddedLog> {
    let mut options = hook_log::Options::new(&plan.log.path, now());
    options.segment_bytes = plan.log.segment_bytes;
    options.min_free_bytes = plan.log.min_free_bytes;
    options.retention = retention(&plan.log.retention);
    let kept = retention(&plan.log.dead_letter_retention);
    let marks = Topic::new(hook_ledger::MARKS).context("a constant topic name")?;
    options.retention_by_topic = HashMap::from([(plan.log.dead_letters.clone(), kept), (marks, kept)]);
    options.label = label(roles);
    EmbeddedLog::open(options, Arc::new(RealDisk)).map_err(|error| refused(error, advice(roles)))
}

/// A directory that cannot be had is a matter of how the command was called.
fn refused(error: OpenError, advice: &str) -> anyhow::Error {
    match error {
        OpenError::Locked { dir, owner } => {
            fault::usage(format!("{dir} is in use by {owner}\n  hint: {advice}"))
        }
        OpenError::Option { .. } => fault::usage(error.to_string()),
        other => other.into(),
    }
}

/// The version of the library that speaks Kafka, where this build has it.
pub(crate) fn librdkafka() -> Option<String> {
    kafka::librdkafka()
}

/// What to do when another process has the embedded log.
fn advice(roles: Roles) -> &'static str {
    match roles {
        Roles::SERVE | Roles::SMASH => {
            "the embedded log belongs to one process: stop that one and start `hook run`, which is both halves; \
             for processes side by side, keep the log in Kafka (`backend = \"kafka\"` under `[log]`)"
        }
        Roles::ALL => "stop that process, or give this one a directory of its own (`--data DIR`)",
        _ => "that process does not answer: wait until it has started, or stop it",
    }
}

/// The clock as the log sees it.
pub(crate) fn now() -> Now {
    Arc::new(|| u64::try_from(Clock::SYSTEM.now().as_millisecond()).unwrap_or(0))
}

/// How a process names itself to the one who finds the directory in use.
pub(crate) fn label(roles: Roles) -> String {
    format!("hook {}", roles.name())
}

fn retention(plan: &plan::Retention) -> Retention {
    Retention { max_age: plan.max_age, max_bytes: plan.max_bytes }
}
