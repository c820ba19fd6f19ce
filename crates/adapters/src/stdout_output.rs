//! `stdout_output`: one line per event on standard output.
//!
//! A line that was written and flushed is delivered. Any failure to write (the
//! reader went away, the disk behind a redirect is full) is *unavailable*: the
//! event waits. A template that fails on an event is *refused*.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use hook_core::{
    driver::{BuildContext, BuildError, EgressConfig, EgressDriver},
    ports::{DeliverError, Delivered, Egress, Failure},
};
use hook_event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    body::{Body, one_line},
    row::{self, as_settings},
};

/// The driver's row.
pub(crate) const DRIVER: EgressDriver = EgressDriver {
    name: "stdout_output",
    summary: "Writes one line per event to standard output.",
    example: "format = \"envelope\"\n",
    parse: row::egress::<Config>,
    schema: Config::json_schema,
};

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What a line holds: `envelope`, `payload`, `cloudevents`, or a template such as
    /// `{{ event_type }} {{ meta.subject }}`.
    #[serde(default)]
    #[schemars(with = "String")]
    format: Body,
}

#[async_trait]
impl EgressConfig for Config {
    fn settings(&self) -> serde_json::Value {
        as_settings(self)
    }

    fn endpoint(&self) -> String {
        "standard output".to_owned()
    }

    async fn build(&self, _: &BuildContext) -> Result<Arc<dyn Egress>, BuildError> {
        Ok(Arc::new(Lines { format: self.format.clone(), out: Arc::new(Mutex::new(io::stdout())) }))
    }
}

struct Lines<W> {
    format: Body,
    out: Arc<Mutex<W>>,
}

#[async_trait]
impl<W: Write + Send + 'static> Egress for Lines<W> {
    async fn deliver(&self, event: &Event) -> Result<Delivered, DeliverError> {
        let line = one_line(self.format.render(event, false)?);
        let out = self.out.clone();
        let written = tokio::task::spawn_blocking(move || write(&out, &line)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => Ok(Delivered::default()),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

/// Lines are whole: one write each, and the lock until it is flushed.
fn write(out: &Mutex<impl Write>, line: &Bytes) -> io::Result<()> {
    let text = [line, &b"\n"[..]].concat();
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    out.write_all(&text)?;
    out.flush()
}

fn unavailable(error: &io::Error) -> DeliverError {
    DeliverError::Unavailable(Failure::because(format!("cannot write to standard output: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::event;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines<W: Write + Send + 'static>(format: &str, out: W) -> Lines<W> {
        Lines { format: Body::deserialize(json!(format)).unwrap(), out: Arc::new(Mutex::new(out)) }
    }

    #[tokio::test]
    async fn an_event_is_one_line() {
        let check = async |format: &str, expect: &[u8]| {
            let lines = lines(format, Vec::new());
            let event = event(b"{\n \"a\": \"x\\ny\"\n}");
            lines.deliver(&event).await.unwrap();
            lines.deliver(&event).await.unwrap();
            let out = lines.out.lock().unwrap();
            assert_eq!(*out, [expect, expect].concat(), "{format}");
        };
        check("payload", b"{  \"a\": \"x\\ny\" }\n").await;
        check("{{ event_type }}\n{{ meta.subject }}", b"pull_request.opened acme/api#42\n").await;
    }

    #[tokio::test]
    async fn a_reader_that_went_away_is_waited_for() {
        let result = lines("envelope", Gone).deliver(&event(b"{}")).await;
        assert!(matches!(result, Err(DeliverError::Unavailable(_))), "{result:?}");
    }
}
