//! The data directory: the log, and the ledger beside it.
//!
//! `<data>/topics` is the log and the truth; `<data>/ledger.db` is derived and may
//! be deleted while nothing runs; `<data>/hook.sock` is how commands reach the
//! running process.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;
use hook_core::plan::{self, Plan};
use hook_event::Clock;
use hook_ledger::Ledger;
use hook_log::{EmbeddedLog, Log, Now, OpenError, RealDisk, Retention, Topic};

use crate::{fault, roles::Roles};

/// Opens the log, recovering what a crash left.
pub(crate) fn open_log(plan: &Plan, roles: Roles) -> anyhow::Result<EmbeddedLog> {
    let mut options = hook_log::Options::new(&plan.log.path, now());
    options.segment_bytes = plan.log.segment_bytes;
    options.min_free_bytes = plan.log.min_free_bytes;
    options.retention = retention(&plan.log.retention);
    let kept = retention(&plan.log.dead_letter_retention);
    let marks = Topic::new(hook_ledger::MARKS).context("a constant topic name")?;
    options.retention_by_topic = HashMap::from([(plan.log.dead_letters.clone(), kept), (marks, kept)]);
    options.label = label(roles);
    EmbeddedLog::open(options, Arc::new(RealDisk)).map_err(|error| match error {
        OpenError::Locked { .. } | OpenError::Option { .. } => fault::usage(error.to_string()),
        other => other.into(),
    })
}

/// Opens the ledger and lets it read what the log has and it has not.
pub(crate) async fn open_ledger(plan: &Plan, log: &dyn Log) -> anyhow::Result<Ledger> {
    let options = hook_ledger::Options {
        dedup_ttl: plan.accept.dedup_ttl,
        dead_letters: plan.log.dead_letters.clone(),
        clock: Clock::SYSTEM,
    };
    let path = plan.log.path.join("ledger.db");
    let ledger = Ledger::open(&path, options).with_context(|| format!("cannot open {}", path.display()))?;
    ledger.catch_up(log, |_| ()).await.context("the ledger cannot read the log")?;
    Ok(ledger)
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
