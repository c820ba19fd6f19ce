//! The ledger beside the log.
//!
//! `<data>/ledger.db` is derived from the log and may be deleted while nothing runs;
//! `<data>/hook.sock` is how commands reach the running process. With the embedded log,
//! `<data>/topics` is the log itself and the truth.

use anyhow::Context;
use hook_core::plan::Plan;
use hook_event::Clock;
use hook_ledger::Ledger;

use crate::backend::Backend;

/// Opens the ledger and lets it read what the log has and it has not.
pub(crate) async fn open_ledger(plan: &Plan, backend: &Backend) -> anyhow::Result<Ledger> {
    let options = hook_ledger::Options {
        dedup_ttl: plan.accept.dedup_ttl,
        dead_letters: plan.log.dead_letters.clone(),
        clock: Clock::SYSTEM,
        own_group: backend.is_shared(),
    };
    let path = plan.log.path.join("ledger.db");
    let ledger = Ledger::open(&path, options).with_context(|| format!("cannot open {}", path.display()))?;
    ledger.catch_up(backend.log().as_ref(), |_| ()).await.context("the ledger cannot read the log")?;
    Ok(ledger)
}
