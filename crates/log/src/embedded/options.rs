//! How an embedded log is set up, and what can go wrong when it is opened.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use super::frame;
use crate::{Now, port::Topic};

/// How an embedded log is set up.
#[derive(Clone)]
pub struct Options {
    /// The directory, made if it is not there.
    pub dir: PathBuf,
    /// The size at which a segment is full; retention removes whole segments.
    pub segment_bytes: u64,
    /// The largest record taken, key and value together.
    pub max_record_bytes: usize,
    /// How long records are kept, where the topic has no rule of its own.
    pub retention: Retention,
    /// Topics with their own rule.
    pub retention_by_topic: HashMap<Topic, Retention>,
    /// What is left free on the disk; below it appends are refused.
    pub min_free_bytes: u64,
    /// The clock.
    pub now: Now,
    /// Who opens it, for the one who finds it locked: `hook run`.
    pub label: String,
}

/// How long records are kept. Whichever limit is reached first removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The age of the youngest record of a segment that may go; forever if absent.
    pub max_age: Option<Duration>,
    /// The bytes of a topic's records; without limit if absent.
    pub max_bytes: Option<u64>,
}

/// Why an embedded log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{dir} is in use by {owner}\n  hint: stop that process, or give this one a directory of its own")]
    Locked {
        /// The directory.
        dir: String,
        /// Who has it.
        owner: String,
    },
    /// A stored record is damaged, and what was stored after it is not.
    #[error("{file} is damaged at byte {byte}: {reason}\n  hint: run `hook log repair`")]
    Damaged {
        /// The file.
        file: String,
        /// The byte offset of the bad record.
        byte: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that cannot work.
    #[error("`{name}` is {value}, but must be {expected}")]
    Option {
        /// Which value.
        name: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// The operating system refused.
    #[error("cannot open the log in {dir}: {error}")]
    Io {
        /// The directory.
        dir: String,
        /// What it said.
        error: std::io::Error,
    },
}

impl Options {
    /// A log in this directory that keeps everything.
    pub fn new(dir: impl Into<PathBuf>, now: Now) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            max_record_bytes: 32 << 20,
            retention: Retention::default(),
            retention_by_topic: HashMap::new(),
            min_free_bytes: 64 << 20,
            now,
            label: "hook".to_owned(),
        }
    }

    /// The rule for a topic.
    pub(crate) fn retention_of(&self, topic: &Topic) -> Retention {
        self.retention_by_topic.get(topic).copied().unwrap_or(self.retention)
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let wrong = |name, value, expected| Err(OpenError::Option { name, value, expected });
        if !(4096..=1 << 30).contains(&self.segment_bytes) {
            return wrong("segment_bytes", self.segment_bytes, "between 4 KiB and 1 GiB");
        }
        let largest = frame::MAX_BODY / 2;
        if self.max_record_bytes == 0 || self.max_record_bytes > largest {
            return wrong("max_record_bytes", self.max_record_bytes as u64, "between 1 byte and 512 MiB");
        }
        Ok(())
    }

    pub(crate) fn io(&self, error: std::io::Error) -> OpenError {
        OpenError::Io { dir: self.dir.display().to_string(), error }
    }

    pub(crate) fn clock(&self) -> u64 {
        (self.now)()
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}
