//! `jsonl_output`: appends each event to a file, one line of JSON each.
//!
//! A line that was written (and, with `fsync = "batch"`, made durable) is
//! delivered. Every failure (a full disk, a missing directory, a failed fsync) is
//! *unavailable*: the event waits and nothing of it stays in the file. Concurrent
//! deliveries share one write and one fsync (`writer`).

mod writer;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use hook_core::{
    driver::{BuildContext, BuildError, EgressConfig, EgressDriver, Problem},
    ports::{DeliverError, Delivered, Egress, Failure},
};
use hook_event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::writer::{Job, Rotation, Writer};
use crate::{
    body::one_line,
    row::{self, as_settings, at_least_one, problem},
};

/// The driver's row.
pub(crate) const DRIVER: EgressDriver = EgressDriver {
    name: "jsonl_output",
    summary: "Appends each event to a file, one line of JSON each.",
    example: r#"
path = "events.jsonl"
fsync = "batch"
rotate_bytes = 104857600
rotate_keep = 5
"#,
    parse: row::egress::<Config>,
    schema: Config::json_schema,
};

const DEFAULT_KEEP: u32 = 5;
/// Deliveries that may wait for the writer before more of them wait outside.
const QUEUE: usize = 1024;

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file; created if it is missing, readable by its owner only.
    path: PathBuf,
    /// Whether lines are durable before their event counts as delivered.
    #[serde(default)]
    fsync: Fsync,
    /// The size at which the file becomes `<path>.1` and a new one is begun. Without
    /// it the file grows for ever.
    #[serde(default)]
    rotate_bytes: Option<u64>,
    /// How many files are kept besides the current one; 5 unless written.
    #[serde(default)]
    rotate_keep: Option<u32>,
}

/// When lines become durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Fsync {
    /// Before they count as delivered; all that wait share one fsync.
    #[default]
    Batch,
    /// When the system finds time; a power cut loses the last of them.
    Never,
}

#[async_trait]
impl EgressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.path.file_name().is_none() {
            problems.push(problem("path", format!("`{}` is not a file's path", self.path.display())));
        }
        problems.extend(self.rotate_bytes.and_then(|value| at_least_one("rotate_bytes", value)));
        problems.extend(self.rotate_keep.and_then(|value| at_least_one("rotate_keep", value.into())));
        if self.rotate_keep.is_some() && self.rotate_bytes.is_none() {
            problems.push(problem("rotate_keep", "nothing is rotated without `rotate_bytes`"));
        }
        problems
    }

    fn endpoint(&self) -> String {
        self.path.display().to_string()
    }

    async fn build(&self, context: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        let keep = self.rotate_keep.unwrap_or(DEFAULT_KEEP);
        let rotation = self.rotate_bytes.map(|bytes| Rotation { bytes, keep });
        let failed = |error: std::io::Error| {
            BuildError::Resource(format!("cannot write to {}: {error}", self.path.display()))
        };
        let writer = Writer::open(self.path.clone(), self.fsync == Fsync::Batch, rotation).map_err(failed)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name(format!("jsonl {}", context.id))
            .spawn(move || writer::run(writer, queue))
            .map_err(failed)?;
        Ok(Arc::new(JsonLines { jobs }))
    }
}

struct JsonLines {
    jobs: mpsc::Sender<Job>,
}

#[async_trait]
impl Egress for JsonLines {
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let (done, written) = oneshot::channel();
        let ended = || unavailable("its writer has ended".to_owned());
        self.jobs.send(Job { line: one_line(event.encode()), done }).await.map_err(|_| ended())?;
        match written.await.map_err(|_| ended())? {
            Ok(()) => Ok(Delivered::default()),
            Err(reason) => Err(unavailable(reason)),
        }
    }
}

fn unavailable(reason: String) -> DeliverError {
    DeliverError::Unavailable(Failure::because(format!("cannot write to the file: {reason}")))
}

#[cfg(test)]
mod tests;
