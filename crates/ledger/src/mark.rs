//! Marks: what an operator decided about dead letters, written to the log so that the
//! ledger stays derived.

use hook_log::{Log, Position, Record, Topic};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::LedgerError;

/// The topic of marks. It should be kept as long as the dead letters.
pub const MARKS: &str = "hook.ledger";

/// Dead letters that need no more attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where the dead letters lie.
    pub purged: Vec<Position>,
    /// When it was decided.
    pub at: Timestamp,
}

impl Mark {
    /// Appends the mark; the ledger learns of it when it reads the log.
    ///
    /// # Errors
    /// When the log does not take it.
    pub async fn append(&self, log: &dyn Log) -> Result<Vec<Position>, LedgerError> {
        #[expect(clippy::expect_used, reason = "a name and numbers cannot fail to serialize")]
        let value = serde_json::to_vec(self).expect("a mark is always JSON");
        #[expect(clippy::expect_used, reason = "a constant that is a topic name")]
        let topic = Topic::new(MARKS).expect("a topic name");
        Ok(log.append(&topic, vec![Record { key: Default::default(), value: value.into() }]).await?)
    }
}
