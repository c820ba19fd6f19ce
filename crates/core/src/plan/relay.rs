//! What carries records from topics to a topic.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use hook_log::{Topic, TopicError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{KafkaPlan, StartFrom};
use crate::glob::Glob;

/// The bridges that run, and the clusters that they join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayPlan {
    /// The bridges.
    pub bridges: Vec<BridgePlan>,
    /// Clusters besides the log, by name.
    pub clusters: BTreeMap<Arc<str>, KafkaPlan>,
}

/// One end of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The contract's own log.
    Log,
    /// The cluster of this name.
    Cluster(Arc<str>),
}

/// One bridge: what is read, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgePlan {
    /// Its id.
    pub id: Arc<str>,
    /// What it reads.
    pub from: End,
    /// What it writes to. Where it is what is read, and a Kafka cluster, records are
    /// carried exactly once.
    pub to: End,
    /// The topics that it reads, any of.
    pub topics: Vec<Glob>,
    /// Where it puts what it read.
    pub output_topic: OutputTopic,
    /// What it takes the records for.
    pub mode: RelayMode,
    /// The group whose place in the topics it has; several relays may share it.
    pub group: String,
    /// Where a group that is new begins.
    pub start_from: StartFrom,
    /// How often a record that the target refuses is tried again before it becomes a
    /// dead letter. A target that is not there is waited for, without an end.
    pub max_retries: u32,
    /// The first wait; doubled each time, with jitter.
    pub backoff_base: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

/// What a bridge takes records for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelayMode {
    /// Event envelopes: each is checked, and goes on byte for byte under its ordering key.
    #[default]
    Envelope,
    /// Any bytes: key and value go on untouched.
    Raw,
}

/// A topic's name in which `{topic}` stands for the topic that was read and, where
/// records are envelopes, `{source}` for the event's source.
#[derive(Clone, PartialEq, Eq)]
pub struct OutputTopic(String);

/// Why a text names no topic to write to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutputTopicError {
    /// It would be no topic's name.
    #[error(transparent)]
    Name(#[from] TopicError),
    /// Nothing fills a placeholder in.
    #[error("`{0}` is filled in by nothing here: use `{{topic}}` or, with the mode `envelope`, `{{source}}`")]
    Placeholder(String),
}

impl OutputTopic {
    /// The topic that `text` names.
    ///
    /// # Errors
    /// When it cannot name one.
    pub fn parse(text: &str, mode: RelayMode) -> Result<Self, OutputTopicError> {
        let sample = text.replace("{topic}", "topic");
        let sample = if mode == RelayMode::Envelope { sample.replace("{source}", "source") } else { sample };
        if let Some(start) = sample.find('{') {
            let end = sample[start..].find('}').map_or(sample.len(), |end| start + end + 1);
            return Err(OutputTopicError::Placeholder(sample[start..end].to_owned()));
        }
        Topic::new(&sample)?;
        Ok(Self(text.to_owned()))
    }

    /// Stands in for one that was refused.
    pub(crate) fn nowhere() -> Self {
        Self("nowhere".to_owned())
    }

    /// The topic for a record of `topic` and, if it is an envelope, of `source`.
    ///
    /// # Errors
    /// When what is filled in makes it no topic's name.
    pub fn of(&self, topic: &Topic, source: Option<&str>) -> Result<Topic, TopicError> {
        if !self.0.contains('{') {
            return Topic::new(&self.0);
        }
        let name = self.0.replace("{topic}", topic.as_str());
        Topic::new(&source.map_or_else(|| name.clone(), |source| name.replace("{source}", source)))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything that it may name.
    pub fn glob(&self) -> Glob {
        Glob::new(&self.0.replace("{topic}", "*").replace("{source}", "*"))
    }
}

impl fmt::Debug for OutputTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl End {
    /// Its name in a contract.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Log => "log",
            Self::Cluster(name) => name,
        }
    }
}

impl BridgePlan {
    /// Whether an end of it is this.
    pub fn touches(&self, end: &End) -> bool {
        self.from == *end || self.to == *end
    }

    /// What a bridge does where nothing else is said.
    pub fn new(id: &str, topics: Vec<Glob>, output_topic: OutputTopic) -> Self {
        Self {
            id: id.into(),
            from: End::Log,
            to: End::Log,
            topics,
            output_topic,
            mode: RelayMode::default(),
            group: "hook-relay".to_owned(),
            start_from: StartFrom::Beginning,
            max_retries: 5,
            backoff_base: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
        }
    }

    /// Whether it reads this topic. A glob takes neither `hook`'s own topics nor the dead
    /// letters; a name that is written out takes what it names.
    pub fn reads(&self, topic: &Topic, dead_letters: &Topic) -> bool {
        let internal = topic == dead_letters || topic.as_str().starts_with("hook.");
        self.topics
            .iter()
            .any(|glob| glob.as_str() == topic.as_str() || (!internal && glob.matches(topic.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_output_topic_may_name() {
        let check = |text: &str, mode: RelayMode, expected: Result<&str, &str>| {
            let topic = OutputTopic::parse(text, mode).map_err(|error| error.to_string());
            let read = Topic::new("webhooks.github").unwrap();
            let source = (mode == RelayMode::Envelope).then_some("github");
            let named = topic.map(|topic| topic.of(&read, source).unwrap().to_string());
            match expected {
                Ok(name) => assert_eq!(named.as_deref(), Ok(name), "{text}"),
                Err(part) => {
                    assert!(named.as_ref().is_err_and(|error| error.contains(part)), "{text}: {named:?}")
                }
            }
        };
        check("webhooks.core", RelayMode::Raw, Ok("webhooks.core"));
        check("edge.{topic}", RelayMode::Raw, Ok("edge.webhooks.github"));
        check("all.{source}.{topic}", RelayMode::Envelope, Ok("all.github.webhooks.github"));
        check("all.{source}", RelayMode::Raw, Err("`{source}`"));
        check("all.{sauce}", RelayMode::Envelope, Err("`{sauce}`"));
        check("all.{", RelayMode::Envelope, Err("`{`"));
        check("a b", RelayMode::Raw, Err("no topic name"));
        check("", RelayMode::Raw, Err("no topic name"));
    }

    #[test]
    fn a_source_can_make_it_no_name() {
        let topic = OutputTopic::parse("{source}", RelayMode::Envelope).unwrap();
        assert!(topic.of(&Topic::new("t").unwrap(), Some("a b")).is_err());
    }

    #[test]
    fn globs_leave_alone_what_is_not_for_them() {
        let dead = Topic::new("webhooks.dlq").unwrap();
        let check = |topics: &[&str], topic: &str, expected: bool| {
            let output = OutputTopic::parse("out", RelayMode::Raw).unwrap();
            let globs = topics.iter().map(|glob| Glob::new(glob)).collect();
            let reads = BridgePlan::new("b", globs, output).reads(&Topic::new(topic).unwrap(), &dead);
            assert_eq!(reads, expected, "{topics:?} {topic}");
        };
        check(&["webhooks.*"], "webhooks.github", true);
        check(&["a", "b"], "b", true);
        check(&["*"], "hook.deliveries", false);
        check(&["webhooks.*"], "webhooks.dlq", false);
        check(&["webhooks.dlq"], "webhooks.dlq", true);
        check(&["hook.deliveries"], "hook.deliveries", true);
    }
}
